"""PaDiM: a Gaussian of the features at every cell, with its whole covariance or its diagonal.

Both keep the same random channels, so that they differ in the covariance alone. The features are
those of methods with nearest repetition: coarser taps are brought to the finest grid. The diagonal
needs no repetition, since a coarse cell's terms are the same in all cells that it covers.

Source: Defard et al., "PaDiM: a Patch Distribution Modeling Framework", 2021.
"""

from __future__ import annotations

from dataclasses import dataclass

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
from vadgen.detectors.padim import REGULARIZATION, moments
from vadgen.detectors.padim_full import CellMoments
from vadgen.errors import VadgenError
from vadgen.progress import Progress
from vadgen.ref.padim import repeat_to

CHANNELS = 100
"""Channels kept, drawn at random: the paper's number for ResNet18."""


@dataclass(frozen=True, eq=False)
class Diagonal:
    """Mean and 1 / variance of the kept channels at every cell of each tap.

    Attributes:
        kept: channels of each tap.
        mean: float32 (rows, cols, kept) a tap.
        weight: float32 (rows, cols, kept) a tap, 1 / (variance + 0.01).
    """

    kept: tuple[NDArray[np.int64], ...]
    mean: Taps
    weight: Taps
    losses: tuple[float, ...] = ()

    @property
    def model_bytes(self) -> int:
        """Bytes of means and weights."""
        return sum(a.nbytes for a in (*self.mean, *self.weight))

    def score(self, pictures: Pictures) -> Scores:
        """The distance of each cell, smoothed; its maximum for the picture."""
        taps = pictures.taps()
        rows, cols = grid(taps)
        squared = np.zeros((len(pictures), rows, cols), np.float32)
        for tap, kept, mean, weight in zip(taps, self.kept, self.mean, self.weight, strict=True):
            d = tap[..., kept] - mean
            squared += repeat_to(np.einsum("nijc,nijc,ijc->nij", d, d, weight), rows, cols)
        return _scores(np.sqrt(squared), pictures.side)


@dataclass(frozen=True, eq=False)
class Full:
    """Mean and whitening of the kept channels at every cell of the finest grid.

    Attributes:
        kept: channels of each tap.
        shape: rows and columns.
        mean: float32 (cells, channels).
        whitening: float32 (cells, channels, channels), `L^-1` of `S = L L^T`: the distance is the
            length of `L^-1 (x - mean)`.
    """

    kept: tuple[NDArray[np.int64], ...]
    shape: tuple[int, int]
    mean: NDArray[np.float32]
    whitening: NDArray[np.float32]
    losses: tuple[float, ...] = ()

    @property
    def model_bytes(self) -> int:
        """Bytes of the means and of one triangle of each covariance."""
        cells, channels = self.mean.shape
        return int(4 * cells * (channels + channels * (channels + 1) // 2))

    def score(self, pictures: Pictures) -> Scores:
        """The distance of each cell, smoothed; its maximum for the picture."""
        d = (repeated(pictures.taps(), self.kept) - self.mean).transpose(1, 2, 0)
        squared = np.square(self.whitening @ d).sum(axis=1)
        return _scores(np.sqrt(squared.T).reshape(-1, *self.shape), pictures.side)


def fit_diagonal(train: Pictures, seed: int, progress: Progress) -> Diagonal:
    """Streams once over the pictures."""
    kept = choose_channels(train, seed)
    batches = progress.track(train.batches(), n_batches(train), "batches")
    stats = moments(
        [tap[..., k] for tap, k in zip(batch.taps(), kept, strict=True)] for batch in batches
    )
    return Diagonal(
        kept,
        tuple(s.mean.astype(np.float32) for s in stats),
        tuple((1 / (s.variance() + REGULARIZATION)).astype(np.float32) for s in stats),
    )


def fit_full(train: Pictures, seed: int, progress: Progress) -> Full:
    """Streams once over the pictures; memory is that of one covariance a cell."""
    kept = choose_channels(train, seed)
    stats, shape = CellMoments(), (0, 0)
    for batch in progress.track(train.batches(), n_batches(train), "batches"):
        taps = batch.taps()
        shape = grid(taps)
        stats.add(repeated(taps, kept).astype(np.float64))
    covariance = stats.covariance()
    covariance += REGULARIZATION * np.eye(covariance.shape[1])
    whitening = np.linalg.inv(np.linalg.cholesky(covariance))
    return Full(kept, shape, stats.mean.astype(np.float32), whitening.astype(np.float32))


def choose_channels(pictures: Pictures, seed: int) -> tuple[NDArray[np.int64], ...]:
    """The channels of each tap that a random draw of `CHANNELS` of all keeps, ascending.

    Raises:
        VadgenError: fewer than 2 pictures.
    """
    if len(pictures) < 2:
        raise VadgenError("PaDiM needs at least 2 pictures to fit on", "add pictures of good parts")
    counts = [tap.shape[3] for tap in pictures.take(np.arange(1)).taps()]
    ends = np.cumsum(counts)
    drawn = np.sort(np.random.default_rng([seed, 2]).permutation(ends[-1])[:CHANNELS])
    return tuple(
        drawn[(drawn >= end - count) & (drawn < end)] - (end - count)
        for count, end in zip(counts, ends, strict=True)
    )


def repeated(taps: Taps, kept: tuple[NDArray[np.int64], ...]) -> NDArray[np.float32]:
    """Kept channels of all taps side by side on the finest grid, float32 (n, cells, channels)."""
    rows, cols = grid(taps)
    parts = [repeat_to(tap[..., k], rows, cols) for tap, k in zip(taps, kept, strict=True)]
    return np.concatenate(parts, axis=3).reshape(len(taps[0]), rows * cols, -1)


def grid(taps: Taps) -> tuple[int, int]:
    """Rows and columns of the finest tap."""
    return max(tap.shape[1] for tap in taps), max(tap.shape[2] for tap in taps)


def _scores(cells: NDArray[np.float32], side: int) -> Scores:
    maps = smooth_maps(cells, side)
    return Scores(maps.reshape(len(maps), -1).max(axis=1), maps)


METHODS = (
    Method(
        "padim",
        "PaDiM, full covariance",
        "padim",
        fit_full,
        {"detector": "padim", "padim.variant": "full"},
        effort=1,
    ),
    Method("padim_diagonal", "PaDiM, diagonal", "padim", fit_diagonal, {"detector": "padim"}),
)
