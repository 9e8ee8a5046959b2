"""PaDiM with the full covariance of every cell, in a few dozen features.

The taps are averaged to the coarsest tap's grid and projected on the directions in which normal
features vary most around their cells' means. A cell's score is the Mahalanobis distance there.
With `S = L diag(s^2) L^T`, L unit lower triangular, it is the norm of `L^-1 (x - mean) / s`: what
of each feature the features before it do not explain, over how much that varies among normals.

Source: Defard et al., "PaDiM: a Patch Distribution Modeling Framework", 2021, with principal
directions in place of random channels, which needs fewer of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadgen.errors import Exit, VadgenError
from vadgen.lower import RowWindow, Value
from vadgen.ref.padim_full import (
    INT16_MAX,
    RESIDUAL_BITS,
    FullCells,
    FullTap,
    score_cells,
    window_sums,
)
from vadgen.ref.roi import Inside, Runs, cells_of, runs_of
from vadgen.ref.smooth import SMOOTH_BITS, smooth
from vadgen.sink import Sink, SinkStep

Outputs = tuple[NDArray[np.int8], ...]
Batches = Callable[[], Iterable[Outputs]]
Taps = Sequence[NDArray[np.generic]]  # int8 or float, (n, rows, cols, channels) each
_Floats = NDArray[np.float64]

RIDGE = 0.05
MAX_TAPS = 8
MAX_WINDOW = 15
MAX_FEATURES = 512
DEFAULT_FEATURES = 64
_HEADROOM = 32  # standard deviations that a tap's part of a feature holds


@dataclass(frozen=True, eq=False)
class PadimFullTables:
    """The frozen detector: integers only.

    Attributes:
        taps: each tap's part of the features, in the backbone's order.
        cells: normal features by cell.
        inside: bool (rows, cols), the cells of the coarsest grid that count.
    """

    taps: tuple[FullTap, ...]
    cells: FullCells
    inside: Inside

    @property
    def features(self) -> int:
        """Features of a cell."""
        return int(self.cells.mean.shape[1])

    @property
    def cell_shape(self) -> tuple[int, int]:
        """Rows and columns of the scores."""
        rows, cols = self.inside.shape
        return rows, cols

    @property
    def across(self) -> Runs:
        """The cells that count, along rows."""
        return runs_of(self.inside)

    @property
    def down(self) -> Runs:
        """The cells that count, along columns."""
        return runs_of(self.inside.T)

    @property
    def scale(self) -> float:
        """The Mahalanobis distance is `score * scale`."""
        return 2.0 ** -(RESIDUAL_BITS + SMOOTH_BITS)

    @property
    def flash_bytes(self) -> int:
        """Bytes of all tables."""
        channels = [len(tap.weight) for tap in self.taps]
        return _flash_bytes(channels, self.inside, self.features)

    @property
    def sink(self) -> Sink:
        """A step sums the pixels of each finer tap under its cells; one scores the cells."""
        rows, cols = self.cell_shape
        steps: list[SinkStep] = []
        sources = []
        for i, tap in enumerate(self.taps):
            sources.append(i if tap.window == 1 else len(self.taps) + len(steps))
            if tap.window > 1:
                window = RowWindow(tap.window, 0, tap.window)
                cell_bytes = 2 * len(tap.weight)
                steps.append(
                    SinkStep(
                        f"sums of tap {i}", (i,), (window,), rows, cols, cell_bytes, argument=i
                    )
                )
        most = max((len(tap.weight) for tap in self.taps if tap.window == 1), default=0)
        own = (RowWindow(),) * len(sources)
        scratch = 2 * (self.features + most)
        score = SinkStep("scores", tuple(sources), own, rows, scratch_bytes=scratch)
        return Sink((*steps, score), 4 * rows * cols)

    def packed_lower(self) -> NDArray[np.int8]:
        """`cells.lower` as the C reads it, (cells, features (features - 1) / 2).

        Features come in blocks of four: the four coefficients of each feature before the block,
        then those inside it, row by row.
        """
        parts = []
        for k in range(0, self.features, 4):
            block = self.cells.lower[:, k : k + 4]
            parts.append(block[:, :, :k].transpose(0, 2, 1).reshape(len(block), -1))
            parts += [block[:, i, k : k + i] for i in range(1, 4)]
        return np.concatenate(parts, axis=1)

    def score(self, outputs: Outputs) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Cells uint32 (n, rows, cols) and image scores uint32 (n,)."""
        cells = score_cells(outputs, self.taps, self.cells, self.inside)
        return cells, cells.reshape(len(cells), -1).max(axis=1)


class CellMoments:
    """Means and covariances of feature vectors at every cell, from batches.

    Batches merge as `mean += d m / (n + m)` and `scatter += scatter_batch + d d^T n m / (n + m)`;
    memory is that of one scatter matrix a cell.

    Source: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm", 1979.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: _Floats = np.zeros(0)
        self._scatter: _Floats = np.zeros(0)

    def add(self, x: _Floats) -> None:
        """Takes a batch, float64 (n, cells, channels)."""
        n, cells, channels = x.shape
        if self.count == 0:
            self.mean = np.zeros((cells, channels))
            self._scatter = np.zeros((cells, channels, channels))
        mean = x.mean(axis=0)
        delta = mean - self.mean
        total = self.count + n
        # The merge's rank-one term is one more column beside the centred batch.
        last = delta[:, :, None] * math.sqrt(self.count * n / total)
        columns = np.concatenate([(x - mean).transpose(1, 2, 0), last], axis=2)
        self._scatter += columns @ columns.transpose(0, 2, 1)
        self.mean += delta * (n / total)
        self.count = total

    def covariance(self) -> _Floats:
        """(cells, channels, channels), with ddof = 1."""
        return self._scatter / max(self.count - 1, 1)


@dataclass(frozen=True, eq=False)
class Model:
    """The fitted detector in floats.

    Attributes:
        windows: tap pixels of a cell along each axis.
        inside: bool (rows, cols), the cells that count.
        mean: (cells inside, channels) of all taps side by side.
        covariance: (cells, channels, channels).
        projection: (channels, features); a feature's variance, ridge included, is 1 on average.
        lower: `L^-1` (cells, features, features).
        spread: `s` (cells, features).
    """

    windows: tuple[int, ...]
    inside: Inside
    mean: _Floats
    covariance: _Floats
    projection: _Floats
    lower: _Floats
    spread: _Floats

    def distances(self, x: _Floats) -> _Floats:
        """Mahalanobis distances (n, cells) of averages (n, cells, channels)."""
        features = ((x - self.mean) @ self.projection).transpose(1, 0, 2)
        z = (features @ self.lower.transpose(0, 2, 1)) / self.spread[:, None]
        squared: _Floats = (z * z).sum(axis=2)
        return np.sqrt(squared).T


def fit(
    batches: Batches,
    values: Sequence[Value],
    channels: int | None,
    table_bytes: int,
    roi: Inside | None = None,
) -> PadimFullTables:
    """Fits on int8 taps of training normals in one pass, and freezes.

    Args:
        batches: gives the taps in batches.
        values: the taps' shapes and quantization.
        channels: features to keep, rounded down to a multiple of 4; None for `DEFAULT_FEATURES`, or
            what `table_bytes` holds.
        table_bytes: most flash of the tables.
        roi: mask of the picture, True where it counts; None for all of it.

    Raises:
        VadgenError: fewer than 2 pictures, grids that do not nest, or tables that do not fit.
    """
    windows = _windows(values)
    features = choose_features(values, channels, table_bytes, roi)
    inside = cells_of(roi, *_grid(values))
    scales = [value.scale for value in values]
    # int8 features are no more certain than their rounding.
    floor = float(np.mean([scale**2 / 12 for scale in scales]))
    return freeze(fit_model(batches(), scales, windows, inside, features, floor), values)


def empty(
    values: Sequence[Value], channels: int | None, table_bytes: int, roi: Inside | None = None
) -> PadimFullTables:
    """Tables of zeros with the shapes that `fit` would give: for budgets."""
    features = choose_features(values, channels, table_bytes, roi)
    inside = cells_of(roi, *_grid(values))
    n = int(inside.sum())
    taps = tuple(
        FullTap(w, np.zeros((v.channels, features), np.int16), np.zeros(features, np.int32), 1)
        for v, w in zip(values, _windows(values), strict=True)
    )
    cells = FullCells(
        np.zeros((n, features), np.int16),
        np.zeros((n, features, features), np.int8),
        np.zeros(n, np.uint8),
        np.zeros((n, features), np.uint16),
        1,
    )
    return PadimFullTables(taps, cells, inside)


def score_float(
    train: Iterable[Taps], test: Iterable[Taps], tables: PadimFullTables
) -> tuple[_Floats, _Floats]:
    """The float twin with the same settings: cells (n, rows, cols) and image scores (n,) of `test`.

    Args:
        train: float taps of training normals, in batches.
        test: float taps to score, in batches.
        tables: the frozen detector, for its sizes.
    """
    windows = tuple(tap.window for tap in tables.taps)
    scales, inside = [1.0] * len(windows), tables.inside
    model = fit_model(train, scales, windows, inside, tables.features, 1e-12)
    found = np.concatenate([model.distances(averages(t, scales, windows, inside)) for t in test])
    distances = np.zeros((len(found), *inside.shape))
    distances[:, inside] = found
    cells = smooth(distances, inside) / 2**SMOOTH_BITS
    return cells, cells.reshape(len(cells), -1).max(axis=1)


def choose_features(
    values: Sequence[Value], channels: int | None, table_bytes: int, roi: Inside | None = None
) -> int:
    """How many features a cell gets, a multiple of 4.

    Raises:
        VadgenError: more than there are channels, or more than the flash holds.
    """
    _windows(values)
    inside = cells_of(roi, *_grid(values))
    tap_channels = [value.channels for value in values]
    most = min(sum(tap_channels), MAX_FEATURES) // 4 * 4
    if channels is not None and not 4 <= channels <= most:
        raise VadgenError(
            f"{channels} features were asked for, the taps have {sum(tap_channels)} channels",
            f"ask for 4 to {most} --channels",
        )
    wanted = channels // 4 * 4 if channels is not None else min(most, DEFAULT_FEATURES)
    fitting = [
        d for d in range(4, wanted + 1, 4) if _flash_bytes(tap_channels, inside, d) <= table_bytes
    ]
    if not fitting or (channels is not None and fitting[-1] < wanted):
        least = wanted if channels is not None else 4
        raise VadgenError(
            f"PaDiM's tables take {_flash_bytes(tap_channels, inside, least):,} bytes with "
            f"{least} features a cell; {max(table_bytes, 0):,} bytes of flash are left",
            f"--channels {fitting[-1]} fits"
            if fitting
            else "a smaller --input or --width fits more",
            Exit.DOES_NOT_FIT,
        )
    return fitting[-1]


def averages(
    taps: Taps, scales: Sequence[float], windows: Sequence[int], inside: Inside
) -> _Floats:
    """All taps side by side on the coarsest grid, zero points left in: (n, cells, channels)."""
    parts = [
        window_sums(np.asarray(tap), window, inside) * (scale / window**2)
        for tap, scale, window in zip(taps, scales, windows, strict=True)
    ]
    return np.concatenate(parts, axis=2)


def fit_model(
    batches: Iterable[Taps],
    scales: Sequence[float],
    windows: tuple[int, ...],
    inside: Inside,
    features: int,
    floor: float,
) -> Model:
    """Fits the float model.

    Args:
        batches: taps of training normals; read once.
        scales: real units of a tap's step.
        windows: tap pixels of a cell along each axis.
        inside: bool (rows, cols), the cells that count.
        features: features of a cell.
        floor: least variance, in real units squared.

    Raises:
        VadgenError: fewer than 2 pictures.
    """
    moments = CellMoments()
    for taps in batches:
        moments.add(averages(taps, scales, windows, inside))
    if moments.count < 2:
        raise VadgenError("PaDiM needs at least 2 pictures to fit on", "add pictures of good parts")
    covariance = moments.covariance()
    variances, directions = np.linalg.eigh(covariance.mean(axis=0))
    variances = np.maximum(variances[::-1][:features], 0)
    directions = _signed(directions[:, ::-1][:, :features])
    ridge = max(RIDGE * float(variances.mean()), floor)
    unit = 1 / np.sqrt(variances + ridge)
    projection = directions * unit
    own = projection.T @ covariance @ projection + np.diag(ridge * unit**2)
    root = np.linalg.cholesky(own)
    spread = np.diagonal(root, axis1=1, axis2=2).copy()
    lower = np.tril(np.linalg.inv(root / spread[:, None, :]))
    return Model(windows, inside, moments.mean, covariance, projection, lower, spread)


def freeze(model: Model, values: Sequence[Value]) -> PadimFullTables:
    """Turns the float model into integer tables.

    Features get as many fraction bits, at most 8, as leave room for `_HEADROOM` standard deviations
    beyond the means; a cell's coefficients as many as its greatest leaves, at most 7.
    """
    origin = model.mean.mean(axis=0)
    limit = INT16_MAX // len(values)
    ends = np.cumsum([value.channels for value in values]).tolist()
    parts = [slice(end - v.channels, end) for end, v in zip(ends, values, strict=True)]
    reach = max(_reach(model, origin, part) for part in parts)
    step = 2.0 ** min(max(math.floor(math.log2(limit / reach)), 0), 8)
    taps = [
        _tap(model.projection[part] * step, origin[part], value.scale, window)
        for part, value, window in zip(parts, values, model.windows, strict=True)
    ]
    mean = np.rint((model.mean - origin) @ model.projection * step)
    coefficients = np.tril(model.lower, -1)
    greatest = np.maximum(np.abs(coefficients).max(axis=(1, 2)), 1e-9)
    shift = np.clip(np.floor(np.log2(127 / greatest)), 0, 7)
    lower = np.rint(coefficients * np.exp2(shift)[:, None, None])
    scale = 2.0**RESIDUAL_BITS / (step * np.exp2(shift)[:, None] * model.spread)
    scale_shift = min(max(math.floor(math.log2(65535 / float(scale.max()))), 1), 47)
    cells = FullCells(
        np.clip(mean, -INT16_MAX, INT16_MAX).astype(np.int16),
        np.clip(lower, -127, 127).astype(np.int8),
        shift.astype(np.uint8),
        np.clip(np.rint(scale * 2.0**scale_shift), 0, 65535).astype(np.uint16),
        scale_shift,
    )
    return PadimFullTables(tuple(taps), cells, model.inside)


def _reach(model: Model, origin: _Floats, part: slice) -> float:
    """The greatest magnitude that one tap's part of a feature should hold, in real units."""
    projection = model.projection[part]
    mean = np.abs((model.mean - origin)[:, part] @ projection).max()
    variance = ((model.covariance[:, part, part] @ projection) * projection).sum(axis=1).max()
    return float(mean + _HEADROOM * math.sqrt(max(float(variance), 0))) + 1e-9


def _tap(projection: _Floats, origin: _Floats, scale: float, window: int) -> FullTap:
    """One tap's integer projection, with the greatest shift that keeps every sum below 2^31."""
    real = projection * (scale / window**2)
    offset = origin @ projection
    pixels = 128 * window**2
    for shift in range(30, 0, -1):
        weight = np.rint(real * 2.0**shift)
        bias = 2.0 ** (shift - 1) - np.rint(offset * 2.0**shift)
        sums = np.abs(bias) + pixels * np.abs(weight).sum(axis=0)
        if np.abs(weight).max() <= INT16_MAX and sums.max() < 2.0**31:
            return FullTap(window, weight.astype(np.int16), bias.astype(np.int32), shift)
    raise VadgenError(
        "the features' scales differ too much for PaDiM's integers",
        "calibrate the backbone on other pictures, or use padim.variant = diagonal",
    )


def _signed(directions: _Floats) -> _Floats:
    """Each direction with its greatest entry positive, whatever sign the solver chose."""
    greatest = np.abs(directions).argmax(axis=0)
    signs: _Floats = np.sign(directions[greatest, np.arange(directions.shape[1])])
    return directions * signs


def _grid(values: Sequence[Value]) -> tuple[int, int]:
    """Rows and columns of the coarsest tap."""
    return min((value.rows, value.width) for value in values)


def _windows(values: Sequence[Value]) -> tuple[int, ...]:
    """Pixels of each tap under a cell, along each axis.

    Raises:
        VadgenError: the taps' grids do not nest, or there are too many.
    """
    rows, cols = _grid(values)
    windows = tuple(value.rows // rows for value in values)
    nested = all(
        (value.rows, value.width) == (rows * window, cols * window)
        for value, window in zip(values, windows, strict=True)
    )
    if not nested or max(windows) > MAX_WINDOW or len(values) > MAX_TAPS:
        shapes = ", ".join(f"{value.rows}x{value.width}" for value in values)
        raise VadgenError(
            f"taps of {shapes} do not divide into one grid",
            "use another --input, or padim.variant = diagonal",
        )
    return windows


def _flash_bytes(channels: Sequence[int], inside: Inside, features: int) -> int:
    """mean, scale, lower and shift of the cells; their runs; weight and bias of the taps."""
    own = 4 * features + features * (features - 1) // 2 + 1
    runs = runs_of(inside).nbytes + runs_of(inside.T).nbytes
    taps = sum(2 * n * features + 4 * features for n in channels)
    return int(inside.sum()) * own + runs + taps
