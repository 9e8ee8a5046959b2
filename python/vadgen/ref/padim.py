"""PaDiM with diagonal covariance; C twin `vad_padim.c`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MEAN_BITS = 4


@dataclass(frozen=True, eq=False)
class PadimTap:
    """One tap's tables.

    Attributes:
        mean: int16 (rows, cols, kept), int8 units * 2^MEAN_BITS.
        weight: uint16 (rows, cols, kept), 1 / variance * 2^weight bits.
        channels: uint16 (kept,), ascending, the channels that are scored.
    """

    mean: NDArray[np.int16]
    weight: NDArray[np.uint16]
    channels: NDArray[np.uint16]


def repeat_to(grid: NDArray[Any], rows: int, cols: int) -> NDArray[Any]:
    """Nearest repetition of (n, h, w) to (n, rows, cols)."""
    y = np.arange(rows) * grid.shape[1] // rows
    x = np.arange(cols) * grid.shape[2] // cols
    return grid[:, y][:, :, x]


def smooth(cells: NDArray[Any]) -> NDArray[Any]:
    """Binomial smoothing (1 4 6 4 1) / 16 along both axes of (n, h, w), rounded, ends repeated."""
    for axis in (2, 1):
        pads = [(0, 0)] * 3
        pads[axis] = (2, 2)
        wide = np.moveaxis(np.pad(cells, pads, mode="edge"), axis, 0)
        count = cells.shape[axis]
        a, b, c, d, e = (wide[i : i + count] for i in range(5))
        cells = np.moveaxis((a + e + 4 * (b + d) + 6 * c + 8) >> 4, 0, axis)
    return cells


def score_cells(
    outputs: Sequence[NDArray[np.int8]], taps: Sequence[PadimTap], rows: int, cols: int
) -> NDArray[np.uint32]:
    """Smoothed floor(sqrt(sum over channels of weight * (2^MEAN_BITS x - mean)^2)).

    Args:
        outputs: int8 (n, h, w, channels) a tap.
        taps: the tables.
        rows: of the finest grid.
        cols: of the finest grid.

    Returns:
        uint32 (n, rows, cols).
    """
    total = np.zeros((len(outputs[0]), rows, cols), dtype=np.uint64)
    for output, tap in zip(outputs, taps, strict=True):
        kept = output[..., tap.channels].astype(np.int64)
        d = (kept << MEAN_BITS) - tap.mean
        # Below 2^52 in all, so uint64 sums are exact.
        own = ((d * d).astype(np.uint64) * tap.weight).sum(axis=3, dtype=np.uint64)
        total += repeat_to(own, rows, cols)
    root = np.sqrt(total.astype(np.float64)).astype(np.uint64)
    # float64 represents totals exactly; its rounded root may be one too large.
    root -= root * root > total
    return smooth(root).astype(np.uint32)
