"""CFA's cells: descriptors by a trained 1x1 convolution, the three nearest centres, their softmin.

C twin: `firmware/lib/vad_detect/src/vad_cfa.c`. Vectors: `tests/vectors/cfa.json`.

All of it is integers. With d0 <= d1 <= d2 the distances of a descriptor from its nearest centres, a
cell is `d0 exp(-d0) / (exp(-d0) + exp(-d1) + exp(-d2))`, rounded once; then cells are smoothed.

Source: Lee et al., "CFA: Coupled-hypersphere-based Feature Adaptation for Target-Oriented Anomaly
Localization", 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vadgen.ref.flat_search import squared_distances
from vadgen.ref.patchcore import to_scores
from vadgen.ref.reweight import MOST_STEPS, POWER_BITS, STEP_BITS, Reweight, powers
from vadgen.ref.roi import Inside
from vadgen.ref.rotate import weigh
from vadgen.ref.smooth import smooth

NEAREST = 3
_BLOCK = 1024


@dataclass(frozen=True, eq=False)
class Convolution:
    """`clamp((weights @ patch + bias + places @ (2 y - rows + 1, 2 x - cols + 1)) >> shift)`.

    Attributes:
        weights: int8 (dims, D).
        bias: int32 (dims,), at most 2^29 in magnitude; holds the half that rounds.
        places: int16 (dims, 2), what half a row and half a column from the middle add.
        shift: in [0, 30].
    """

    weights: np.ndarray
    bias: np.ndarray
    places: np.ndarray
    shift: int


def describe(patches: np.ndarray, convolution: Convolution) -> np.ndarray:
    """Descriptors of all cells.

    Args:
        patches: int8 (n, rows, cols, D), of `ref.patchcore.queries`.
        convolution: see `Convolution`.

    Returns:
        int8 (n, rows, cols, dims), at most 127 in magnitude.
    """
    rows, cols = patches.shape[1:3]
    down, across = convolution.places.astype(np.int64).T
    y = (2 * np.arange(rows) - rows + 1)[:, None, None]
    x = (2 * np.arange(cols) - cols + 1)[:, None]
    bias = convolution.bias + y * down + x * across
    return weigh(patches, convolution.weights, bias, convolution.shift)


def nearest(centres: np.ndarray, descriptors: np.ndarray) -> np.ndarray:
    """Squared distances of the `NEAREST` centres, ascending; uint32 (n, NEAREST).

    Args:
        centres: int8 (N, dims), N at least `NEAREST`.
        descriptors: int8 (n, dims).
    """
    found = np.empty((len(descriptors), NEAREST), np.uint32)
    for start in range(0, len(descriptors), _BLOCK):
        squared = squared_distances(centres, descriptors[start : start + _BLOCK])
        least = np.partition(squared, NEAREST - 1, axis=1)[:, :NEAREST]
        found[start : start + _BLOCK] = np.sort(least, axis=1)
    return found


def softmin(weigh: Reweight, distances: np.ndarray) -> np.ndarray:
    """The least distance times its share, rounded half up.

    `exp(least - d)` is a power of two: an entry of `powers` shifted right, cut to a whole number.

    Args:
        weigh: scale of the exponential.
        distances: uint32 (n, NEAREST), ascending, below 2^24.

    Returns:
        uint32 (n,).
    """
    wide = distances.astype(np.int64)
    steps = ((wide - wide[:, :1]) * weigh.multiplier) >> weigh.shift
    steps = np.minimum(steps, MOST_STEPS)
    one = 1 << STEP_BITS
    total = (powers()[-steps & (one - 1)] >> ((steps + one - 1) >> STEP_BITS)).sum(axis=1)
    return (((wide[:, 0] << POWER_BITS) + total // 2) // total).astype(np.uint32)


def score_cells(
    patches: np.ndarray,
    convolution: Convolution,
    centres: np.ndarray,
    weigh: Reweight,
    inside: Inside,
) -> np.ndarray:
    """Smoothed scores.

    Args:
        patches: int8 (n, rows, cols, D).
        convolution: makes their descriptors.
        centres: int8 (N, dims).
        weigh: scale of the exponential.
        inside: bool (rows, cols), the cells that count.

    Returns:
        uint32 (n, rows, cols), 0 outside.
    """
    descriptors = describe(patches, convolution)[:, inside]
    found = nearest(centres, descriptors.reshape(-1, centres.shape[1]))
    cells = np.zeros((len(patches), *inside.shape), np.uint32)
    cells[:, inside] = softmin(weigh, to_scores(found)).reshape(len(patches), -1)
    return smooth(cells, inside)
