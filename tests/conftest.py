"""Shared helpers: the folder of tests is importable, development data is found or skipped."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of development data beside the checkout, or a skip."""
    folder = Path(os.environ.get("VADGEN_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("development data (VADGEN_SHARED) is not here")
    return folder


@pytest.fixture(scope="session")
def _shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.getbasetemp()
    # Under pytest-xdist every worker has a folder of its own below the run's.
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "vadgen-cache"


@pytest.fixture
def cache(_shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that all tests of the run share and nothing else does."""
    monkeypatch.setenv("VADGEN_CACHE", str(_shared_cache))
    return _shared_cache
