"""Product-quantized banks swept over rows, candidates, subspaces and bits.

Source: the thesis, section 8.3 (figures 8.3 to 8.8): F1 and AUROC of the two-phase search against
its candidates K for several banks of N rows, memory and work against N.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadgen.detectors.pq import PqBank, encode

UInt32 = NDArray[np.uint32]
_BLOCK = 1024  # queries at a time


@dataclass(frozen=True, eq=False)
class TwoPhase:
    """What the two-phase search finds for each of n queries.

    Attributes:
        candidates: the K that were asked for.
        squared: uint32 (len(candidates), n), distance of the row found.
        exact: uint32 (n,), distance of the nearest row.
    """

    candidates: tuple[int, ...]
    squared: UInt32
    exact: UInt32

    def found(self, index: int) -> float:
        """Share of the queries whose distance is that of the nearest row, for one K."""
        return float((self.squared[index] == self.exact).mean())


def two_phase(bank: PqBank, queries: NDArray[np.int8], candidates: Sequence[int]) -> TwoPhase:
    """The search of `ref.pq_search.pqnn` for every K at once.

    Rows are ordered by their symmetric distance, the lowest index first on ties; the least
    asymmetric distance of the first K is what K candidates find.

    Args:
        bank: N rows.
        queries: int8 (n, D).
        candidates: each from 1 to N.
    """
    rows = bank.decode()
    assert bank.n_codes < 1 << 16 and max(candidates, default=1) <= bank.n_codes
    last = [k - 1 for k in candidates]
    squared = np.empty((len(last), len(queries)), np.uint32)
    exact = np.empty(len(queries), np.uint32)
    subspaces = np.arange(len(bank.codewords))
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK]
        end = start + len(block)
        codes = encode(bank.codewords, block.astype(np.float32))
        own = bank.codewords[subspaces, codes].reshape(block.shape)
        near = _squared_distances(block, rows)
        exact[start:end] = near.min(axis=1)
        if last:
            keys = (_squared_distances(own, rows) << 16) | np.arange(len(rows))
            keys.sort(axis=1)
            near = np.take_along_axis(near, keys & 0xFFFF, axis=1)
            squared[:, start:end] = np.minimum.accumulate(near, axis=1)[:, last].T
    return TwoPhase(tuple(candidates), squared, exact)


def float_distances(vectors: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distance of each vector (n, D) from the nearest float row (N, D), float32 (n,)."""
    norms = np.einsum("ij,ij->i", rows, rows)
    nearest = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), _BLOCK):
        x = vectors[start : start + _BLOCK]
        rest = (norms - 2 * (x @ rows.T)).min(axis=1)
        nearest[start : start + len(x)] = np.einsum("ij,ij->i", x, x) + rest
    return np.sqrt(np.maximum(nearest, 0))


def _squared_distances(queries: NDArray[np.int8], rows: NDArray[np.int8]) -> NDArray[np.int64]:
    """Exact, int64 (n, N): products of int8 values stay below 2^24 up to 1,024 dimensions."""
    dtype = np.float32 if 128**2 * rows.shape[1] <= 2**24 else np.float64
    products = (queries.astype(dtype) @ rows.T.astype(dtype)).astype(np.int64)
    wide_queries, wide_rows = queries.astype(np.int64), rows.astype(np.int64)
    norms: NDArray[np.int64] = (wide_rows**2).sum(axis=1)
    sizes: NDArray[np.int64] = (wide_queries**2).sum(axis=1)
    squared: NDArray[np.int64] = sizes[:, None] - 2 * products + norms
    return squared
