"""PatchCore: distance of each patch from the nearest of a bank, in floats or product-quantized.

Each tap is averaged over 3x3 at its own resolution (zero padding counted); coarser taps are brought
to the finest grid by nearest repetition. The bank holds 1,000 patches, chosen by greedy k-center in
bounded memory. A picture's score is its greatest distance, without re-weighting.

Source: Roth et al., "Towards Total Recall in Industrial Anomaly Detection", 2022; Jegou et al.,
"Product Quantization for Nearest Neighbor Search", 2011 (the asymmetric distance).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vadgen.benchmark.methods.method import (
    Method,
    Pictures,
    Scores,
    Taps,
    n_batches,
    smooth_maps,
)
from vadgen.benchmark.methods.padim import grid
from vadgen.detectors.coreset import BatchedCoreset
from vadgen.detectors.pq import LIMIT, divisors, quantize
from vadgen.progress import Progress
from vadgen.ref.padim import repeat_to

CODES = 1000
SUBSPACES = 16
CENTROIDS = 256
CORESET_MEMORY = 512 * 1024**2
_BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Bank:
    """Patches to compare with.

    Attributes:
        rows: float32 (n, dims); decoded when they are kept as codes.
        model_bytes: of the rows, or of codes and codebooks.
    """

    rows: NDArray[np.float32]
    model_bytes: int
    losses: tuple[float, ...] = ()

    def score(self, pictures: Pictures) -> Scores:
        """The distance of each patch; its maximum for the picture, smoothed for the map."""
        taps = pictures.taps()
        cells = self._distances(patches(taps)).reshape(-1, *grid(taps))
        return Scores(cells.reshape(len(cells), -1).max(axis=1), smooth_maps(cells, pictures.side))

    def _distances(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        norms = np.einsum("ij,ij->i", self.rows, self.rows)
        nearest = np.empty(len(vectors), np.float32)
        for start in range(0, len(vectors), _BLOCK):
            x = vectors[start : start + _BLOCK]
            rest = (norms - 2 * (x @ self.rows.T)).min(axis=1)
            nearest[start : start + _BLOCK] = np.einsum("ij,ij->i", x, x) + rest
        return np.sqrt(np.maximum(nearest, 0))


def fit(train: Pictures, seed: int, progress: Progress) -> Bank:
    """A bank of float rows."""
    rows = _select(train, seed, progress)
    return Bank(rows, rows.nbytes)


def fit_quantized(train: Pictures, seed: int, progress: Progress) -> Bank:
    """The same bank, product-quantized: the distance is that from the rows as codes tell them.

    This is the asymmetric distance of look-up tables; there are 16 subspaces, or as near to it as
    divides the features.
    """
    rows = _select(train, seed, progress)
    step = np.float32(max(float(np.abs(rows).max()), 1e-12) / LIMIT)
    subspaces = min(divisors(rows.shape[1]), key=lambda m: (abs(m - SUBSPACES), m))
    bank = quantize(rows / step, subspaces, min(CENTROIDS, len(rows)), seed)
    return Bank(bank.decode() * step, bank.codes.nbytes + bank.codewords.nbytes)


def patches(taps: Taps) -> NDArray[np.float32]:
    """Feature vectors of all patches, float32 (n * rows * cols, dims)."""
    rows, cols = grid(taps)
    parts = [repeat_to(average(tap), rows, cols) for tap in taps]
    return np.concatenate(parts, axis=3).reshape(-1, sum(tap.shape[3] for tap in taps))


def average(tap: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over 3x3 of (n, rows, cols, channels); zeros around it count."""
    wide = np.pad(tap, ((0, 0), (1, 1), (1, 1), (0, 0)))
    tall = wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]
    mean: NDArray[np.float32] = (tall[:, :, :-2] + tall[:, :, 1:-1] + tall[:, :, 2:]) / 9
    return mean


def _select(train: Pictures, seed: int, progress: Progress) -> NDArray[np.float32]:
    """The coreset, float32 (CODES, dims), or fewer rows when there are fewer patches."""
    coreset: BatchedCoreset | None = None
    for batch in progress.track(train.batches(), n_batches(train), "batches"):
        vectors = patches(batch.taps())
        if coreset is None:
            rng = np.random.default_rng(seed)
            coreset = BatchedCoreset(CODES, vectors.shape[1], CORESET_MEMORY, rng)
        coreset.add(vectors)
    assert coreset is not None, "there are pictures to fit on"
    return coreset.select(least=1)


PATCHCORE = Method(
    "patchcore",
    "PatchCore, float bank",
    "patchcore",
    fit,
    {"detector": "patchcore", "patchcore.search": "flat"},
    effort=2,
)
METHODS = (
    PATCHCORE,
    replace(
        PATCHCORE,
        name="patchcore_pq",
        title="PatchCore, product-quantized bank",
        fit=fit_quantized,
        build={"detector": "patchcore", "patchcore.search": "adc"},
    ),
)
