"""Detectors on the emulated cores, their taps' rows streamed and layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from firmware_model import BOARDS, usable
from sink_cases import PATCHES, assert_answers, fitted, images_for, network, planned, written

from vadgen.build.emulator import run
from vadgen.build.platformio import build_project, create_project

OFTEN = (
    ("qemu_m7", "adc rotated", "streamed"),
    ("qemu_m7", "cfa", "streamed"),
    ("qemu_m3", "cfa", "layer by layer"),
    ("qemu_m3", "padim full", "layer by layer"),
)
CASES = [
    pytest.param(*case, marks=() if case in OFTEN else pytest.mark.slow)
    for board in BOARDS
    for name in ("padim full", "cfa", *PATCHES)
    for cut in ("streamed", "layer by layer")
    for case in [(board, name, cut)]
]


@pytest.mark.parametrize(("board_id", "name", "cut"), CASES)
def test_the_order_of_the_taps_rows_does_not_matter(
    board_id: str, name: str, cut: str, tmp_path: Path, monkeypatch: Any
) -> None:
    board = usable(board_id)
    program = network(name)
    is_streamed = cut == "streamed"
    roi = np.random.default_rng(8).random((9, 9)) < 0.2 if is_streamed else None
    tables = fitted(name, program, roi)
    generated = tmp_path / "generated"
    generated.mkdir()
    plan = planned(program, board.kernels, tables, cut, is_streamed, monkeypatch)
    project = create_project(tmp_path, board, written(generated, plan, tables))
    answers = run(build_project(project, board), board, images_for(program), program.output_shapes)
    assert_answers(program, tables, answers)
