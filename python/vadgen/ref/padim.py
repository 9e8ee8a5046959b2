"""PaDiM with diagonal covariance; C twin `vad_padim.c`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadgen.ref.roi import Inside, shifted

MEAN_BITS = 4


@dataclass(frozen=True, eq=False)
class PadimTap:
    """One tap's tables.

    Attributes:
        inside: bool (rows, cols), the cells that are scored.
        mean: int16 (cells inside, kept), int8 units * 2^MEAN_BITS.
        weight: uint16 (cells inside, kept), 1 / variance * 2^weight bits.
        channels: uint16 (kept,), ascending, the channels that are scored.
    """

    inside: Inside
    mean: NDArray[np.int16]
    weight: NDArray[np.uint16]
    channels: NDArray[np.uint16]


def repeat_to(grid: NDArray[Any], rows: int, cols: int) -> NDArray[Any]:
    """Nearest repetition of (n, h, w) to (n, rows, cols)."""
    y = np.arange(rows) * grid.shape[1] // rows
    x = np.arange(cols) * grid.shape[2] // cols
    return grid[:, y][:, :, x]


def smooth(cells: NDArray[Any], inside: Inside) -> NDArray[Any]:
    """Binomial smoothing (1 4 6 4 1) / 16 of runs along both axes of (n, h, w), ends repeated.

    Integers are rounded. Cells outside become 0.
    """
    for axis in (2, 1):
        a, b, c, d, e = (shifted(cells, inside, axis, by) for by in range(-2, 3))
        total = a + e + 4 * (b + d) + 6 * c
        cells = (total + 8) >> 4 if np.issubdtype(cells.dtype, np.integer) else total / 16
    return cells * inside


def score_cells(
    outputs: Sequence[NDArray[np.int8]], taps: Sequence[PadimTap], inside: Inside
) -> NDArray[np.uint32]:
    """Smoothed floor(sqrt(sum over channels of weight * (2^MEAN_BITS x - mean)^2)).

    Args:
        outputs: int8 (n, h, w, channels) a tap.
        taps: the tables.
        inside: bool (rows, cols) of the finest grid, the cells that count.

    Returns:
        uint32 (n, rows, cols), 0 outside.
    """
    total = np.zeros((len(outputs[0]), *inside.shape), dtype=np.uint64)
    for output, tap in zip(outputs, taps, strict=True):
        kept = output[:, tap.inside][..., tap.channels].astype(np.int64)
        d = (kept << MEAN_BITS) - tap.mean
        own = np.zeros((len(output), *tap.inside.shape), np.uint64)
        # Below 2^52 in all, so uint64 sums are exact.
        own[:, tap.inside] = ((d * d).astype(np.uint64) * tap.weight).sum(axis=2, dtype=np.uint64)
        total += repeat_to(own, *inside.shape)
    root = np.sqrt(total.astype(np.float64)).astype(np.uint64)
    # float64 represents totals exactly; its rounded root may be one too large.
    root -= root * root > total
    return smooth(root, inside).astype(np.uint32)
