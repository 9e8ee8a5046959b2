"""The model in tests/firmware/model, and boards whose tools are here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vadgen.board import Board, load_board
from vadgen.build.tools import missing_tools

MODEL = Path(__file__).parent / "firmware" / "model"
SHAPES = ((4, 8, 1), (2, 4, 1))
ASK_TRAP, ASK_HANG, ASK_STATUS, ASK_DEEP_STACK, ASK_SLOW = range(250, 255)

Build = Callable[[str], Path]


def asking(what: int) -> NDArray[np.uint8]:
    """An image, black but for the first pixel, which asks the model for misbehaviour."""
    image = np.zeros((8, 8, 3), np.uint8)
    image[0, 0, 0] = what
    return image


def usable(name: str) -> Board:
    """The board, or a skip where its tools are not installed."""
    board = load_board(name)
    missing = missing_tools(board)
    if missing:
        pytest.skip(f"{missing[0].package} is not installed")
    return board


BOARDS = ("qemu_m7", "qemu_m4", "qemu_m3", "qemu_m33", "qemu_m55", "qemu_rv32", "qemu_lx106")


def emulated(*quick: str) -> list[object]:
    """Ids of the emulated boards as parameters; all but the two first and `quick` are slow."""
    slow = pytest.mark.slow
    often = (*BOARDS[:2], *quick)
    return [pytest.param(name, marks=() if name in often else slow) for name in BOARDS]
