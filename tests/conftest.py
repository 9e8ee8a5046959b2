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
