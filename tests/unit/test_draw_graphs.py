"""More random networks on demand: which seed differs is found."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "draw_graphs.py"


@pytest.fixture
def tool() -> Any:
    spec = importlib.util.spec_from_file_location("draw_graphs", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_seeds_that_differ_are_found(tool: Any) -> None:
    def compared(seeds: Sequence[int], folder: Path) -> None:
        assert folder.is_dir()
        if wrong := {3, 4, 9} & set(seeds):
            raise AssertionError(f"other bytes\n\n in {min(wrong)}")

    found = tool.failures(range(10), int, compared)
    assert found == [(n, f"AssertionError: other bytes | in {n}") for n in (3, 4, 9)]
    assert tool.failures(range(5, 9), int, compared) == []
