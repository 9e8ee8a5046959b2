"""Nearest row of a memory bank kept as int8 vectors, in integers.

C twin: `firmware/lib/vad_detect/src/vad_flat_search.c`. Vectors: `tests/vectors/flat_search.json`.
"""

from __future__ import annotations

import numpy as np


def nearest(
    rows: np.ndarray, queries: np.ndarray, block: int = 4096
) -> tuple[np.ndarray, np.ndarray]:
    """Squared distance and index of the row nearest to each query; the lowest index on ties.

    Args:
        rows: int8 (N, D).
        queries: int8 (n, D).
        block: queries at a time.

    Returns:
        uint32 (n,) and int64 (n,).
    """
    bank, norms = _as_floats(rows)
    distances = np.empty(len(queries), np.uint32)
    indices = np.empty(len(queries), np.int64)
    for start in range(0, len(queries), block):
        q = queries[start : start + block].astype(bank.dtype)
        rest = norms - 2 * (q @ bank.T)
        best = rest.argmin(axis=1)
        indices[start : start + block] = best
        squared = (q**2).sum(axis=1) + rest[np.arange(len(q)), best]
        distances[start : start + block] = squared.astype(np.uint32)
    return distances, indices


def squared_distances(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Squared distances, whole numbers as floats (n, N), of int8 queries (n, D) from int8 rows."""
    bank, norms = _as_floats(rows)
    q = queries.astype(bank.dtype)
    return (q**2).sum(axis=1)[:, None] + (norms - 2 * (q @ bank.T))


def _as_floats(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and their squared norms in a type that holds all sums of products exactly.

    |q - r|^2 = |q|^2 - 2 q.r + |r|^2. Values are in [-128, 127] and sums at most 4 * 128^2 * D:
    below 2^24 the float32 product is exact, below 2^53 the float64 one.
    """
    bank = rows.astype(np.float32 if 4 * 128**2 * rows.shape[1] < 2**24 else np.float64)
    return bank, (bank**2).sum(axis=1)
