"""PaDiM with full covariance: integer Mahalanobis distances; C twin `vad_padim_full.c`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadgen.ref.roi import Inside
from vadgen.ref.smooth import smooth

INT16_MAX = 32767
RESIDUAL_BITS = 6


@dataclass(frozen=True, eq=False)
class FullTap:
    """What one tap adds to the features of a cell.

    Attributes:
        window: tap pixels of a cell along each axis, 1 to 15.
        weight: int16 (channels, dims).
        bias: int32 (dims,), half a step of the result included.
        shift: 1 to 30. For every feature, |bias| + 128 window^2 sum |weight| < 2^31.
    """

    window: int
    weight: NDArray[np.int16]
    bias: NDArray[np.int32]
    shift: int


@dataclass(frozen=True, eq=False)
class FullCells:
    """Normal features of the cells that count, row by row.

    Attributes:
        mean: int16 (cells, dims).
        lower: int8 (cells, dims, dims), strictly lower triangular, -127 to 127, in steps of
            2^-shift.
        shift: uint8 (cells,), 0 to 7.
        scale: uint16 (cells, dims).
        scale_shift: 1 to 47.
    """

    mean: NDArray[np.int16]
    lower: NDArray[np.int8]
    shift: NDArray[np.uint8]
    scale: NDArray[np.uint16]
    scale_shift: int


def window_sums(tap: np.ndarray, window: int, inside: Inside) -> np.ndarray:
    """Sums over windows that do not overlap: (n, h, w, channels) to (n, cells inside, channels)."""
    n, height, width, channels = tap.shape
    split = tap.reshape(n, height // window, window, width // window, window, channels)
    kind = np.int32 if np.issubdtype(tap.dtype, np.integer) else np.float64
    sums = np.asarray(split.sum(axis=(2, 4), dtype=kind))
    return sums[:, inside]


def cell_features(
    outputs: Sequence[np.ndarray], taps: Sequence[FullTap], inside: Inside
) -> np.ndarray:
    """Sums `clamp((bias + window sums @ weight) >> shift)` over the taps.

    A tap's part is clamped to 32767 / taps, so that the sum is the same int16 in any order.

    Args:
        outputs: int8 (n, h, w, channels) a tap.
        taps: the tables.
        inside: bool (rows, cols), the cells that count.

    Returns:
        int32 (n, cells inside, dims), in int16's range.
    """
    limit = INT16_MAX // len(taps)
    total = np.zeros((), np.int32)
    for output, tap in zip(outputs, taps, strict=True):
        # Below 2^31, so float64 products are exact.
        sums = window_sums(output, tap.window, inside)
        product = sums.astype(np.float64) @ tap.weight.astype(np.float64)
        part = (product.astype(np.int64) + tap.bias) >> tap.shift
        total = total + np.clip(part, -limit, limit).astype(np.int32)
    return total


def squared_distances(features: np.ndarray, cells: FullCells) -> np.ndarray:
    """Squared Mahalanobis distances in steps of 2^(-2 RESIDUAL_BITS).

    `r = clamp(x - mean)`, `z_k = 2^shift r_k + sum_{j < k} lower_kj r_j`,
    `t_k = clamp((z_k scale_k + 2^(scale_shift - 1)) >> scale_shift)`; the sum of `t_k^2`.

    Args:
        features: int32 (n, cells, dims).
        cells: the tables.

    Returns:
        uint64 (n, cells), below 2^39.
    """
    r = np.clip(features - cells.mean.astype(np.int32), -INT16_MAX, INT16_MAX)
    # Below 2^31, so float64 products are exact.
    by_cell = r.transpose(1, 0, 2).astype(np.float64)
    explained = by_cell @ cells.lower.transpose(0, 2, 1).astype(np.float64)
    z = explained.transpose(1, 0, 2).astype(np.int64)
    z += r.astype(np.int64) << cells.shift.astype(np.int64)[:, None]
    t = (z * cells.scale + (1 << (cells.scale_shift - 1))) >> cells.scale_shift
    t = np.clip(t, -INT16_MAX, INT16_MAX)
    return np.asarray((t * t).sum(axis=2), np.uint64)


def score_cells(
    outputs: Sequence[np.ndarray], taps: Sequence[FullTap], cells: FullCells, inside: Inside
) -> NDArray[np.uint32]:
    """Smoothed floor(sqrt(squared distance)).

    Args:
        outputs: int8 (n, h, w, channels) a tap.
        taps: their parts of the features.
        cells: normal features.
        inside: bool (rows, cols) of the coarsest tap's grid, the cells that count.

    Returns:
        uint32 (n, rows, cols), 0 outside.
    """
    squared = squared_distances(cell_features(outputs, taps, inside), cells)
    roots = np.zeros((len(squared), *inside.shape), np.uint32)
    # Below 2^39: float64 holds it, and no root rounds up to the next integer.
    roots[:, inside] = np.sqrt(squared.astype(np.float64)).astype(np.uint32)
    return smooth(roots, inside)
