"""PatchCore's distances: of each patch from the nearest row of the memory bank.

C twin: `firmware/lib/vad_detect/src/vad_patchcore.c`. Vectors: `tests/vectors/patchcore.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vadgen.ref.flat_search import nearest
from vadgen.ref.patch import Patch, patches
from vadgen.ref.pq_search import pqnn_nearest
from vadgen.ref.rotate import Rotation, rotate

SCORE_BITS = 8


@dataclass(frozen=True)
class Level:
    """The channels of one resolution: dimensions [first_dim, end_dim) on rows x cols cells."""

    rows: int
    cols: int
    first_dim: int
    end_dim: int

    @property
    def dims(self) -> int:
        """Channels of the level."""
        return self.end_dim - self.first_dim


@dataclass(frozen=True)
class Tap:
    """Where one tap's patches go: channels from `first_dim` on of level `level`."""

    patch: Patch
    level: int
    first_dim: int


def repetition(levels: Sequence[Level], index: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of level `index` under each row and column of the finest, level by level."""
    y, x = np.arange(levels[-1].rows), np.arange(levels[-1].cols)
    for i in range(len(levels) - 1, index, -1):
        y = y * levels[i - 1].rows // levels[i].rows
        x = x * levels[i - 1].cols // levels[i].cols
    return y, x


def queries(
    outputs: Sequence[np.ndarray],
    taps: Sequence[Tap],
    levels: Sequence[Level],
    rotations: Sequence[Rotation] = (),
) -> np.ndarray:
    """Feature vectors of the finest level's cells, coarser levels repeated to the nearest cell.

    Args:
        outputs: the taps, int8 (n, height, width, channels) each.
        taps: where each tap's patches go.
        levels: coarsest first.
        rotations: of each level's patches; empty: they stay as they are.

    Returns:
        int8 (n, rows, cols, D).
    """
    maps = [np.empty((len(outputs[0]), v.rows, v.cols, v.dims), np.int8) for v in levels]
    for output, tap in zip(outputs, taps, strict=True):
        own = slice(tap.first_dim, tap.first_dim + output.shape[-1])
        maps[tap.level][..., own] = patches(output, tap.patch)
    turned = [rotate(*pair) for pair in zip(maps, rotations, strict=True)] if rotations else maps
    repeated = []
    for i, level_map in enumerate(turned):
        y, x = repetition(levels, i)
        repeated.append(level_map[:, y][:, :, x])
    return np.concatenate(repeated, axis=-1)


def score_cells(features: np.ndarray, bank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score and index of the nearest row; the lowest index on ties.

    A score is floor(sqrt(squared distance) * 2^SCORE_BITS).
    Exact asymmetric distances of a product-quantized bank are the distances to its decoded rows.

    Args:
        features: int8 (n, rows, cols, D).
        bank: int8 (N, D), decoded.

    Returns:
        uint32 and int64 (n, rows, cols).
    """
    distances, rows = nearest(bank, features.reshape(-1, features.shape[-1]))
    return to_scores(distances).reshape(features.shape[:-1]), rows.reshape(features.shape[:-1])


def to_scores(squared: np.ndarray) -> np.ndarray:
    """floor(sqrt(squared) * 2^SCORE_BITS) of uint32 values, uint32.

    The argument of the root is below 2^48 and exact in float64; its rounded root may be one too
    large.
    """
    shifted = squared.astype(np.uint64) << np.uint64(2 * SCORE_BITS)
    root = np.sqrt(shifted.astype(np.float64)).astype(np.uint64)
    return (root - (root * root > shifted)).astype(np.uint32)


def score_cells_pqnn(
    features: np.ndarray, codewords: np.ndarray, codes: np.ndarray, n_candidates: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same by the two-phase search, which may miss the nearest row."""
    flat = features.reshape(-1, features.shape[-1])
    distances, rows = pqnn_nearest(codewords, codes, flat, n_candidates)
    return to_scores(distances).reshape(features.shape[:-1]), rows.reshape(features.shape[:-1])
