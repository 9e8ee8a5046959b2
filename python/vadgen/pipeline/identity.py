"""What a firmware says of itself: its board, its model, what its built-in images must give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vadgen.board import Board
from vadgen.emit.link import Identity
from vadgen.link import patterns
from vadgen.lower import Program
from vadgen.pipeline.manifest import sha256_file, sha256_text
from vadgen.pipeline.parity import Run

_FILES = ("model.tflite", "model.npz")


def model_digest(folder: Path) -> bytes:
    """SHA-256 of the files that hold network, detector and threshold; the same for all boards."""
    found = (folder / name for name in _FILES if (folder / name).is_file())
    return bytes.fromhex(sha256_text(*(f"{path.name} {sha256_file(path)}" for path in found)))


def make_identity(
    folder: Path,
    board: Board,
    program: Program,
    reference: Callable[[NDArray[np.uint8]], Run],
) -> Identity:
    """The identity of a board's firmware.

    Args:
        folder: holds the model's files.
        board: what the firmware is for.
        program: of the network.
        reference: the numpy reference on images of bytes, (N, H, W, C).
    """
    first = program.values[0]
    shape = first.rows, first.width, first.channels
    run = reference(np.stack([patterns.pattern(i, *shape) for i in range(patterns.COUNT)]))
    tests = tuple(
        patterns.digest(
            [output[i] for output in run.outputs],
            0 if run.scores is None else int(run.scores[i]),
            None if run.cells is None else run.cells[i],
        )
        for i in range(patterns.COUNT)
    )
    return Identity(board.id, model_digest(folder), tests)
