"""Greedy k-center selection of a memory bank, at once or over batches within a memory bound.

Source: Roth et al., "Towards Total Recall in Industrial Anomaly Detection", 2022 (the greedy
selection); Charikar et al., "Incremental Clustering and Dynamic Information Retrieval", 1997 (the
batched one).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadgen.errors import VadgenError

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

_EPSILON = 0.9  # distortion that the projection may cause, as in PatchCore
_POOL = 256  # least number of farthest points that a round looks at
_BLOCK = 8192  # rows at a time in products
_WORK = 32 * 1024**2  # bytes for products and other work that does not grow with the rows


@dataclass(frozen=True, eq=False)
class Selection:
    """Rows chosen by greedy k-center.

    Attributes:
        indices: int64 (n,), in the order they were chosen.
        radius: greatest distance of a point from its nearest chosen row, by the distances that the
            selection used.
    """

    indices: Int64
    radius: float


def projected_dims(n_points: int, epsilon: float = _EPSILON) -> int:
    """Dimensions that keep all distances of `n_points` within `1 +- epsilon`.

    `4 ln(n) / (epsilon^2 / 2 - epsilon^3 / 3)`.

    Source: Dasgupta and Gupta, "An elementary proof of the Johnson-Lindenstrauss lemma", 2003.
    """
    return math.ceil(4 * math.log(max(n_points, 2)) / (epsilon**2 / 2 - epsilon**3 / 3))


def greedy_k_center(points: Float32, n: int, rng: np.random.Generator) -> Selection:
    """Chooses `n` rows, each the farthest from those chosen before; the lowest index on ties.

    The first is row 0. Distances are exact where the Johnson-Lindenstrauss bound is not below D,
    and taken after a Gaussian projection to the bound's dimensions where it is.

    Args:
        points: float32 (N, D), N >= n.
        n: rows to choose.
        rng: draws the projection.

    Raises:
        VadgenError: when there are fewer points than rows to choose, or a point is not finite.
    """
    _check(points, n)
    dims = projected_dims(len(points))
    if dims < points.shape[1]:
        matrix = rng.standard_normal((points.shape[1], dims)) / math.sqrt(dims)
        points = points @ matrix.astype(np.float32)
    return _farthest_first(points, n)


class BatchedCoreset:
    """Merge-and-reduce: a memory bank over batches, in bounded memory.

    Rows gather in a buffer of fixed capacity. When it is full, greedy k-center reduces it to eight
    banks, at a radius t; later rows nearer than t to a row kept then are dropped at once. Every
    row dropped is within the sum of the t of some row of the buffer, so the bank that greedy
    k-center finally selects covers all rows within its own radius plus that sum. While everything
    fits, the bank is that of `greedy_k_center` itself.

    Attributes:
        slack: the sum of the t, in units of the features; 0 while everything fits.
    """

    def __init__(self, n: int, dims: int, memory: int, rng: np.random.Generator) -> None:
        """Reserves the buffer.

        Args:
            n: rows of the bank.
            dims: D, values of a row.
            memory: bytes that this object and its work may take.
            rng: see `greedy_k_center`.

        Raises:
            VadgenError: when the memory holds fewer than sixteen banks.
        """
        # A buffer row; its norm, distance and rank; its share of the pool and of the rows kept.
        row_bytes = 4 * dims * 4 // 3 + 24
        capacity = (memory - _WORK) // row_bytes
        if capacity < 16 * n:
            raise VadgenError(
                f"{memory} bytes are too few to select {n} rows of {dims} features",
                f"allow at least {16 * n * row_bytes + _WORK} bytes with --coreset-memory",
            )
        self.slack = 0.0
        self._n = n
        self._rng = rng
        self._capacity = capacity
        self._rows = np.empty((capacity, dims), np.float32)  # pages are touched as they fill
        self._used = 0
        self._kept = 0
        self._radius = 0.0

    def add(self, rows: Float32) -> None:
        """Takes a batch, float32 (count, D)."""
        check_finite(rows)
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            while len(block):
                block = self._unlike_kept(block)
                room = min(len(block), self._capacity - self._used)
                self._rows[self._used : self._used + room] = block[:room]
                self._used += room
                block = block[room:]
                if len(block):
                    self._reduce()

    def select(self, least: int | None = None) -> Float32:
        """The bank, float32 (n, D), farthest first: its first rows are the bank of any smaller n.

        Args:
            least: rows that will do when fewer than n came; n by default.

        Raises:
            VadgenError: when fewer rows came.
        """
        rows = self._rows[: self._used]
        n = max(min(self._n, len(rows)), self._n if least is None else least)
        return rows[greedy_k_center(rows, n, self._rng).indices]

    def _reduce(self) -> None:
        rows = self._rows[: self._used]
        selection = greedy_k_center(rows, 8 * self._n, self._rng)
        self._kept = len(selection.indices)
        rows[: self._kept] = rows[np.sort(selection.indices)]
        self._used = self._kept
        self._radius = selection.radius
        self.slack += selection.radius

    def _unlike_kept(self, block: Float32) -> Float32:
        if not self._kept:
            return block
        kept = self._rows[: self._kept]
        norms = np.einsum("ij,ij->i", kept, kept)
        nearest = np.full(len(block), np.inf, np.float32)
        for part in _parts(len(kept), len(block)):
            np.minimum(nearest, (norms[part] - 2 * (block @ kept[part].T)).min(axis=1), out=nearest)
        nearest += np.einsum("ij,ij->i", block, block)
        return block[nearest > self._radius**2]


def _parts(n: int, width: int) -> Iterator[slice]:
    """Cuts `n` rows so that products of a part with `width` others stay within `_WORK` bytes."""
    step = max(1, min(_BLOCK, _WORK // (16 * width)))
    return (slice(start, start + step) for start in range(0, n, step))


def _check(points: Float32, n: int) -> None:
    if len(points) < n:
        raise VadgenError(
            f"{len(points)} patches are fewer than the {n} rows of the memory bank",
            f"add images, or ask for --codes {len(points)} or less",
        )
    check_finite(points)


def check_finite(points: Float32) -> None:
    """Refuses features (n, D) that are not all finite."""
    for start in range(0, len(points), _BLOCK):
        if not np.isfinite(points[start : start + _BLOCK]).all():
            raise VadgenError(
                "the features hold values that are not finite",
                "check the backbone's weights: they may be damaged",
            )


def _farthest_first(points: Float32, n: int) -> Selection:
    """Greedy selection, several rows a round.

    A round takes the pool of points that are farthest from the rows chosen so far. Within the pool
    the greedy choice runs on its own as long as what it chooses is farther than every point
    outside; then one matrix product brings all distances up to date.
    """
    norms = np.einsum("ij,ij->i", points, points)
    chosen = np.zeros(n, np.int64)
    nearest = np.full(len(points), np.inf, np.float32)
    _update(points, norms, chosen[:1], nearest)
    pool_size = min(len(points), max(_POOL, len(points) // 64))
    count = 1
    while count < n:
        pool = _farthest(nearest, pool_size)
        left = nearest[pool]
        floor = left.min() if pool_size < len(points) else -np.inf
        members, sizes = points[pool], norms[pool]
        first = count
        while count < n:
            best = int(left.argmax())
            if count > first and left[best] <= floor:
                break
            chosen[count] = pool[best]
            count += 1
            np.minimum(left, sizes + sizes[best] - 2 * (members @ members[best]), out=left)
            left[best] = -np.inf
        _update(points, norms, chosen[first:count], nearest)
    return Selection(chosen, math.sqrt(max(float(nearest.max()), 0.0)))


def _farthest(nearest: Float32, n: int) -> Int64:
    """The `n` points with the greatest distance and the first of the farthest, ascending."""
    pool = np.argpartition(nearest, len(nearest) - n)[len(nearest) - n :]
    return np.union1d(pool, [nearest.argmax()])


def _update(points: Float32, norms: Float32, rows: Int64, nearest: Float32) -> None:
    """Lowers `nearest` to the squared distances from the given rows, and theirs below all."""
    for block in _parts(len(points), len(rows)):
        distances = norms[rows] - 2 * (points[block] @ points[rows].T)
        np.minimum(nearest[block], norms[block] + distances.min(axis=1), out=nearest[block])
    nearest[rows] = -np.inf
