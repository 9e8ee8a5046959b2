"""PaDiM with diagonal covariance: mean and variance of every feature at every place.

Source: Defard et al., "PaDiM: a Patch Distribution Modeling Framework", 2021; the diagonal keeps
`1 / diag(S)` with ddof = 1 and S regularized by 0.01 in the features' own units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadgen.errors import VadgenError
from vadgen.lower import Value
from vadgen.ref.padim import MEAN_BITS, PadimTap, repeat_to, score_cells, smooth
from vadgen.ref.roi import Inside, Runs, cells_of, coarser, runs_of
from vadgen.sink import Sink, tap_by_tap

Outputs = tuple[NDArray[np.int8], ...]
Batches = Callable[[], Iterable[Outputs]]

REGULARIZATION = 0.01
MAX_TAPS = 8
MAX_CHANNELS = 1 << 12
ENTRY_BYTES = 4


@dataclass(frozen=True, eq=False)
class PadimTables:
    """The frozen detector: integers only.

    Attributes:
        taps: tables by tap, in the backbone's order.
        inside: bool (rows, cols), the cells of the finest grid that count.
        n_channels: channels of each tap, kept or not.
        scale: the Mahalanobis distance is `score * scale`.
    """

    taps: tuple[PadimTap, ...]
    inside: Inside
    n_channels: tuple[int, ...]
    scale: float

    @property
    def cell_shape(self) -> tuple[int, int]:
        """Rows and columns of the scores."""
        rows, cols = self.inside.shape
        return rows, cols

    @property
    def runs(self) -> tuple[Runs, ...]:
        """Each tap's cells that count, along its rows."""
        return tuple(runs_of(tap.inside) for tap in self.taps)

    @property
    def finest(self) -> int:
        """A tap whose grid is that of the scores."""
        return next(i for i, t in enumerate(self.taps) if t.inside.shape == self.inside.shape)

    @property
    def down(self) -> Runs:
        """The cells that count, along the columns of the finest grid."""
        return runs_of(self.inside.T)

    @property
    def flash_bytes(self) -> int:
        """Bytes of means, weights, channel lists and runs."""
        own = sum(t.mean.nbytes + t.weight.nbytes + t.channels.nbytes for t in self.taps)
        return own + _runs_bytes([tap.inside for tap in self.taps], self.inside)

    @property
    def sink(self) -> Sink:
        """A step a tap: a row is scored at once, into the cells that it covers."""
        return tap_by_tap(tuple(len(tap.inside) for tap in self.taps), 8 * self.inside.size)

    def score(self, outputs: Outputs) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Cells uint32 (n, rows, cols) and image scores uint32 (n,)."""
        cells = score_cells(outputs, self.taps, self.inside)
        return cells, cells.reshape(len(cells), -1).max(axis=1)


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and sum of squared deviations (rows, cols, channels) of one tap."""

    count: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    def variance(self) -> NDArray[np.float64]:
        """With ddof = 1."""
        return self.squares / max(self.count - 1, 1)


def moments(batches: Iterable[Sequence[NDArray[np.generic]]]) -> tuple[Moments, ...]:
    """Streams over batches (n, rows, cols, channels) a tap; memory does not grow with their number.

    Source: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm", 1979.
    """
    found: list[Moments] = []
    for outputs in batches:
        new = []
        for output in outputs:
            x = output.astype(np.float64)
            mean = x.mean(axis=0)
            new.append(Moments(len(x), mean, ((x - mean) ** 2).sum(axis=0)))
        found = new if not found else [_merge(a, b) for a, b in zip(found, new, strict=True)]
    return tuple(found)


def _merge(a: Moments, b: Moments) -> Moments:
    count = a.count + b.count
    delta = b.mean - a.mean
    mean = a.mean + delta * (b.count / count)
    squares = a.squares + b.squares + delta * delta * (a.count * b.count / count)
    return Moments(count, mean, squares)


def fit(
    batches: Batches,
    values: Sequence[Value],
    channels: int | None,
    table_bytes: int,
    seed: int,
    roi: Inside | None = None,
) -> PadimTables:
    """Fits on int8 taps of training normals and freezes.

    Args:
        batches: gives the taps in batches.
        values: the taps' shapes and quantization.
        channels: how many channels to keep; None keeps what `table_bytes` holds.
        table_bytes: most flash of the tables.
        seed: of the draw of channels.
        roi: mask of the picture, True where it counts; None for all of it.

    Raises:
        VadgenError: no or too few pictures, or no channel fits.
    """
    inside = _inside(values, roi)
    kept = choose_channels(values, channels, table_bytes, seed, roi)
    stats = moments(batches())
    if not stats or stats[0].count < 2:
        raise VadgenError("PaDiM needs at least 2 pictures to fit on", "add pictures of good parts")
    variances = [
        s.variance()[where][:, k] + REGULARIZATION / v.scale**2
        for s, v, k, where in zip(stats, values, kept, inside, strict=True)
    ]
    # The largest weight gets all 16 bits: 2^bits / smallest variance <= 65535.
    bits = math.floor(math.log2(65535 * min(float(v.min()) for v in variances)))
    taps = []
    for s, variance, k, where in zip(stats, variances, kept, inside, strict=True):
        mean = np.rint(s.mean[where][:, k] * (1 << MEAN_BITS)).astype(np.int16)
        weight = np.rint(np.ldexp(1.0 / variance, bits)).astype(np.uint16)
        taps.append(PadimTap(where, mean, weight, k))
    scale = math.sqrt(math.ldexp(1.0, -bits - 2 * MEAN_BITS))
    return _tables(tuple(taps), values, roi, scale)


def empty(
    values: Sequence[Value], channels: int | None, table_bytes: int, roi: Inside | None = None
) -> PadimTables:
    """Tables of zeros with the shapes that `fit` would give: for budgets."""
    inside = _inside(values, roi)
    taps = []
    chosen = choose_channels(values, channels, table_bytes, 0, roi)
    for where, kept in zip(inside, chosen, strict=True):
        shape = (int(where.sum()), len(kept))
        taps.append(PadimTap(where, np.zeros(shape, np.int16), np.zeros(shape, np.uint16), kept))
    return _tables(tuple(taps), values, roi, 1.0)


def _finest(values: Sequence[Value], roi: Inside | None) -> Inside:
    return cells_of(roi, max(v.rows for v in values), max(v.width for v in values))


def _inside(values: Sequence[Value], roi: Inside | None) -> list[Inside]:
    """The cells of each tap that reach a cell of the finest grid that counts."""
    finest = _finest(values, roi)
    return [coarser(finest, v.rows, v.width) for v in values]


def _runs_bytes(inside: Sequence[Inside], finest: Inside) -> int:
    return sum(runs_of(where).nbytes for where in (*inside, finest.T))


def _tables(
    taps: tuple[PadimTap, ...], values: Sequence[Value], roi: Inside | None, scale: float
) -> PadimTables:
    return PadimTables(taps, _finest(values, roi), tuple(v.channels for v in values), scale)


def choose_channels(
    values: Sequence[Value],
    channels: int | None,
    table_bytes: int,
    seed: int,
    roi: Inside | None = None,
) -> list[NDArray[np.uint16]]:
    """The channels of each tap that are kept: a random share of each, as in the PaDiM paper.

    Raises:
        VadgenError: more channels than there are, or none fits the flash.
    """
    total = sum(v.channels for v in values)
    if len(values) > MAX_TAPS or total > MAX_CHANNELS:
        raise VadgenError(
            f"{len(values)} taps of {total} channels are too many for PaDiM",
            f"use at most {MAX_TAPS} taps of {MAX_CHANNELS} channels in all",
        )
    if channels is not None and not len(values) <= channels <= total:
        raise VadgenError(
            f"{channels} channels were asked for, the {len(values)} taps have {total}",
            f"ask for {len(values)} to {total} --channels",
        )
    inside = _inside(values, roi)
    left = max(table_bytes - _runs_bytes(inside, _finest(values, roi)), 0)
    entry = [int(where.sum()) * ENTRY_BYTES + 2 for where in inside]
    whole = sum(v.channels * e for v, e in zip(values, entry, strict=True))
    share = left / whole if channels is None else channels / total
    counts = [max(1, math.floor(v.channels * min(share, 1.0) + 1e-9)) for v in values]
    if channels is None and sum(c * e for c, e in zip(counts, entry, strict=True)) > left:
        raise VadgenError(
            f"PaDiM does not fit the {max(table_bytes, 0):,} bytes of flash that are left",
            "a smaller --input or --width leaves more",
        )
    while channels is not None and sum(counts) != channels:
        step = 1 if sum(counts) < channels else -1
        lack = [step * (v.channels * share - c) for v, c in zip(values, counts, strict=True)]
        open_ = [i for i, c in enumerate(counts) if 1 <= c + step <= values[i].channels]
        counts[max(open_, key=lambda i: lack[i])] += step
    rng = np.random.default_rng([seed, 2])
    return [
        np.sort(rng.permutation(v.channels)[:count]).astype(np.uint16)
        for v, count in zip(values, counts, strict=True)
    ]


def score_float(
    train: Iterable[Sequence[NDArray[np.float32]]],
    test: Iterable[Sequence[NDArray[np.float32]]],
    kept: Sequence[NDArray[np.uint16]],
    inside: Inside,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The float twin with the same channels: cells (n, rows, cols) and image scores (n,) of `test`.

    Args:
        train: float taps of training normals, in batches.
        test: float taps to score, in batches.
        kept: channels of each tap.
        inside: the cells of the finest grid that count.
    """
    stats = moments(train)
    cells = []
    for outputs in test:
        total = np.zeros((len(outputs[0]), *inside.shape))
        for output, s, k in zip(outputs, stats, kept, strict=True):
            d = output[..., k] - s.mean[..., k]
            own = (d * d / (s.variance()[..., k] + REGULARIZATION)).sum(axis=3)
            total += repeat_to(own, *inside.shape)
        cells.append(smooth(np.sqrt(total), inside))
    joined = np.concatenate(cells)
    return joined, joined.reshape(len(joined), -1).max(axis=1)
