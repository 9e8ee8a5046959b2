"""Squared distances on emulated cores, with and without their DSP extension."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from firmware_model import usable

from vadgen.board import load_board
from vadgen.build.emulator import qemu_command, run_in
from vadgen.build.platformio import build_project, create_project

MAIN = Path(__file__).parent / "distances" / "main.c"


@pytest.mark.parametrize("board_id", ["qemu_m7", "qemu_m33", "qemu_m3"])
def test_distances_are_those_of_the_definition(board_id: str, tmp_path: Path) -> None:
    usable(board_id)
    board = load_board(board_id)
    generated = tmp_path / "generated"
    generated.mkdir()
    project = create_project(tmp_path, board, generated)
    shutil.copy(MAIN, project / "src" / "main.c")
    elf = build_project(project, board)
    (tmp_path / "request.bin").touch()
    run_in(tmp_path, qemu_command(elf, board), f"distances on {board_id}", 60.0)
