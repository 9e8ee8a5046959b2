"""PatchCore: a memory bank of patch features, frozen to integer tables."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vadgen.detectors.coreset import BatchedCoreset, check_finite
from vadgen.detectors.pq import LIMIT, Bank, FlatBank, PqBank, check_sizes, pack, quantize
from vadgen.errors import VadgenError
from vadgen.looked import Looked
from vadgen.lower import RowWindow, Value
from vadgen.ref.patch import Patch, window_sums
from vadgen.ref.patchcore import (
    SCORE_BITS,
    Level,
    Tap,
    queries,
    repetition,
    score_cells,
    score_cells_pqnn,
)
from vadgen.ref.reweight import STEP_BITS, Reweight, powers, reweight_images
from vadgen.ref.roi import Inside, Runs, cells_of, coarser, runs_of
from vadgen.ref.rotate import Rotation
from vadgen.ref.smooth import SMOOTH_BITS, smooth
from vadgen.sink import Sink, SinkStep

Search = Literal["adc", "pqnn", "flat"]
Outputs = tuple[NDArray[np.int8], ...]  # (n, height, width, channels) a tap
Batches = Callable[[], Iterable[Outputs]]

MAX_LEVELS = 4
MAX_TAPS = 8
MAX_ROW_BYTES = 256


@dataclass(frozen=True)
class Geometry:
    """How the taps' patches make feature vectors.

    Attributes:
        values: the taps as the backbone gives them, in its order.
        taps: their windows and places; multipliers and shifts are 0 until the scale is known.
        levels: resolutions, coarsest first.
        inside: bool (rows, cols), the cells of the finest level that count.
    """

    values: tuple[Value, ...]
    taps: tuple[Tap, ...]
    levels: tuple[Level, ...]
    inside: Inside

    @property
    def dims(self) -> int:
        """Length of a feature vector."""
        return self.levels[-1].end_dim

    def covering(self) -> tuple[Inside, ...]:
        """By level, the cells that count or cover one that does."""
        found = [self.inside]
        for level in self.levels[-2::-1]:
            found.append(coarser(found[-1], level.rows, level.cols))
        return tuple(found[::-1])


@dataclass(frozen=True)
class Options:
    """What the user or the picker decided.

    Attributes:
        search: how the nearest row is found; "flat" keeps rows without codebooks.
        n_codes: rows of the bank.
        n_candidates: rows that the coarse phase of "pqnn" keeps.
        n_subspaces: M, for "adc" and "pqnn".
        bits: of a code, 4 or 8; of a value for "flat".
        n_centroids: Ks, when it is not all that the bits can tell apart.
        halve: see `lay_out`.
        coreset_memory: bytes that the selection may take.
        trim: fraction of the training patches to drop as suspicious.
        rotate: turn the features of each level first, for "adc" and "pqnn"; see `rotation_of`.
        block: features of a level that are turned together; None for all of them.
        small_tables: of "adc" and "flat" at 4 bits: a look-up table for each code in place of one
            for each two: an eighth of the RAM, more instructions.
        reweight: weigh the image score by the neighbours of the nearest row.
    """

    search: Search = "adc"
    n_codes: int = 1000
    n_candidates: int = 300
    n_subspaces: int = 16
    bits: int = 8
    halve: bool | None = None
    coreset_memory: int = 512 * 1024**2
    trim: float = 0.0
    n_centroids: int | None = None
    rotate: bool = False
    small_tables: bool = False
    reweight: bool = False
    block: int | None = None

    @property
    def is_flat8(self) -> bool:
        """Whether rows are kept as int8 values, without codes."""
        return self.search == "flat" and self.bits == 8

    @property
    def centroids(self) -> int:
        """Ks."""
        return self.n_centroids or 1 << self.bits

    @property
    def title(self) -> str:
        """The kind, for people: "adc 44x4" keeps 44 codes of 4 bits a row."""
        size = f"{self.bits}" if self.search == "flat" else f"{self.n_subspaces}x{self.bits}"
        candidates = f" of {self.n_candidates}" if self.search == "pqnn" else ""
        turned = ", rotated" if self.rotate else ""
        turned += f" in {self.block}s" if self.block else ""
        small = ", small tables" if self.small_tables else ""
        return f"{self.search} {size}{candidates}{turned}{small}"

    def subspaces(self, dims: int) -> int:
        """M; a flat bank of codes has a code for each dimension."""
        return dims if self.search == "flat" else self.n_subspaces


@dataclass(frozen=True, eq=False)
class Found:
    """What the search finds for n images.

    Attributes:
        features: int8 (n, cells that count, D).
        distances: from the nearest rows, uint32 (n, cells that count).
        rows: these rows, same shape.
    """

    features: NDArray[np.int8]
    distances: NDArray[np.uint32]
    rows: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PatchcoreTables:
    """The frozen detector: integers only.

    Attributes:
        geometry: windows with their scales, levels.
        bank: the memory bank.
        search: how it is searched.
        n_candidates: for "pqnn".
        unit: the distance in the features' own units is `distance * unit`.
        rotations: of each level's patches; empty without.
        small_tables: see `Options`.
        reweight: scale of the re-weighting; None without.
    """

    geometry: Geometry
    bank: Bank
    search: Search
    n_candidates: int
    unit: float
    rotations: tuple[Rotation, ...] = ()
    small_tables: bool = False
    reweight: Reweight | None = None

    @property
    def cell_shape(self) -> tuple[int, int]:
        """Rows and columns of the scores."""
        level = self.geometry.levels[-1]
        return level.rows, level.cols

    @property
    def scale(self) -> float:
        """A score is the mean of distances around a cell, which is `score * scale`."""
        return self.unit / (1 << SMOOTH_BITS)

    @property
    def sink(self) -> Sink:
        """See `sink_of`."""
        return sink_of(self.geometry, options_of(self))

    def find(self, outputs: Outputs) -> Found:
        """The nearest row of each patch."""
        geometry, bank = self.geometry, self.bank
        features = queries(outputs, geometry.taps, geometry.levels, self.rotations)
        features = features[:, geometry.inside]
        if self.search == "pqnn" and isinstance(bank, PqBank):
            found = score_cells_pqnn(features, bank.codewords, bank.codes, self.n_candidates)
        else:
            found = score_cells(features, bank.decode())
        return Found(features, *found)

    def score_found(self, found: Found) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Cells uint32 (n, rows, cols) and image scores uint32 (n,)."""
        inside = self.geometry.inside
        cells = np.zeros((len(found.distances), *inside.shape), np.uint32)
        cells[:, inside] = found.distances
        cells = smooth(cells, inside)
        scores = cells.max(axis=(1, 2))
        if self.reweight is not None:
            scores = reweight_images(
                self.reweight,
                scores,
                found.features,
                found.distances,
                found.rows,
                self.bank.decode(),
            )
        return cells, scores

    def score(self, outputs: Outputs) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Cells uint32 (n, rows, cols) and image scores uint32 (n,)."""
        return self.score_found(self.find(outputs))


def lay_out(
    values: Sequence[Value], halve: bool | None = None, roi: Inside | None = None
) -> Geometry:
    """Windows, levels and places of the taps' patches.

    Args:
        values: the taps, finest first.
        halve: average the finest taps to half their resolution (4x4 windows, stride 2) when there
            are coarser ones; None does so when they are four times finer than the coarsest. Seen
            on `transistor` and `magnetic_tile`: a quarter of the cells, and no AUROC lost.
        roi: mask of the picture, True where it counts; None for all of it.

    Raises:
        VadgenError: when there are more taps or resolutions than the firmware takes.
    """
    finest, coarsest = max(v.rows for v in values), min(v.rows for v in values)
    if halve is None:
        halve = finest >= 4 * coarsest
    halve = halve and finest > coarsest
    windows = [(4, 2) if halve and v.rows == finest else (3, 1) for v in values]
    shapes = [
        (-(-v.rows // stride), -(-v.width // stride))
        for v, (_, stride) in zip(values, windows, strict=True)
    ]
    resolutions = sorted(set(shapes))
    nested = all(a[1] <= b[1] for a, b in itertools.pairwise(resolutions))
    if len(resolutions) > MAX_LEVELS or len(values) > MAX_TAPS or not nested:
        raise VadgenError(
            f"{len(values)} taps of {len(resolutions)} resolutions are too many for PatchCore",
            f"use a backbone with at most {MAX_TAPS} taps of {MAX_LEVELS} resolutions",
        )
    levels, taps, dims = [], {}, 0
    for index, shape in enumerate(resolutions):
        first = dims
        for i in (i for i, s in enumerate(shapes) if s == shape):
            window, stride = windows[i]
            patch = Patch(values[i].zero_point, window, stride, multiplier=0, shift=1)
            taps[i] = Tap(patch, index, dims - first)
            dims += values[i].channels
        levels.append(Level(*shape, first, dims))
    inside = cells_of(roi, levels[-1].rows, levels[-1].cols)
    ordered = tuple(taps[i] for i in range(len(values)))
    return Geometry(tuple(values), ordered, tuple(levels), inside)


def features(outputs: Outputs, geometry: Geometry) -> NDArray[np.float32]:
    """Feature vectors in real units: window averages of `scale * (q - zero_point)`.

    Returns:
        float32 (n, cells that count, D).
    """
    last = geometry.levels[-1]
    out = np.empty((len(outputs[0]), last.rows, last.cols, geometry.dims), np.float32)
    for output, value, tap in zip(outputs, geometry.values, geometry.taps, strict=True):
        y, x = repetition(geometry.levels, tap.level)
        first = geometry.levels[tap.level].first_dim + tap.first_dim
        mean = window_sums(output, tap.patch) * np.float32(value.scale / tap.patch.window**2)
        out[..., first : first + value.channels] = mean[:, y][:, :, x]
    return out[:, geometry.inside]


def check_options(options: Options, dims: int) -> None:
    """Refuses sizes that contradict each other.

    Args:
        options: see `Options`.
        dims: D, values of a feature vector.

    Raises:
        VadgenError: with what would fit.
    """
    n = options.n_codes
    if options.rotate and options.search == "flat":
        raise VadgenError(
            "a flat bank gains nothing from a rotation",
            "leave --opq out, or ask for --search adc or pqnn",
        )
    if options.block and not options.rotate:
        raise VadgenError(
            "features that are not rotated have no blocks",
            "leave --opq-block out, or opq = false of the recipe",
        )
    if options.search == "pqnn" and options.n_candidates > n:
        raise VadgenError(
            f"{options.n_candidates} candidates are more than the {n} rows of the memory bank",
            f"ask for --candidates {n} or less, or --codes {options.n_candidates} or more",
        )
    if options.small_tables and (options.search == "pqnn" or options.bits == 8):
        raise VadgenError(
            "small tables are for one-phase searches of 4-bit codes",
            "ask for --search adc --bits 4",
        )
    if options.is_flat8:
        return
    if options.centroids > 1 << options.bits:
        raise VadgenError(
            f"{options.centroids} centroids are more than {options.bits} bits can tell apart",
            f"ask for --centroids {1 << options.bits} or less, or --bits 8",
        )
    check_sizes(dims, options.subspaces(dims), options.centroids, n)


def fit(
    batches: Batches,
    values: Sequence[Value],
    options: Options,
    seed: int,
    roi: Inside | None = None,
) -> PatchcoreTables:
    """Selects the bank from the training normals and freezes it.

    Args:
        batches: gives the int8 taps of the training images, in batches, each time it is called.
        values: the taps' shapes, scales and zero points, finest first.
        options: see `Options`.
        seed: of every random choice.
        roi: mask of the picture, True where it counts; None for all of it.

    Raises:
        VadgenError: when there are fewer patches than rows, or sizes do not divide.
    """
    geometry = lay_out(values, options.halve, roi)
    check_options(options, geometry.dims)
    rng = np.random.default_rng(seed)
    coreset = BatchedCoreset(options.n_codes, geometry.dims, options.coreset_memory, rng)
    add_batches(lambda: (features(o, geometry) for o in batches()), options.trim, coreset, seed)
    return freeze(coreset.select(), geometry, options, seed)


def freeze(
    rows: NDArray[np.float32], geometry: Geometry, options: Options, seed: int
) -> PatchcoreTables:
    """Turns a bank of real features into integer tables.

    The step of the int8 scale is a 127th of the greatest magnitude in the bank, for all taps alike,
    so that integer distances are proportional to real ones. A rotation changes no distance; it has
    a step of its own.

    Args:
        rows: float32 (N, D).
        geometry: of `lay_out`.
        options: see `Options`.
        seed: of k-means.
    """
    patch_step = step_of(rows)
    rotations: tuple[Rotation, ...] = ()
    if options.rotate:
        turns = rotation_of(rows, geometry, options.subspaces(geometry.dims), options.block)
        rows = turn_rows(rows, turns)
        rotations = tuple(_frozen_rotation(turn, patch_step, step_of(rows)) for turn in turns)
    step = step_of(rows)
    steps = rows / np.float32(step)
    bank: Bank
    if options.is_flat8:
        bank = FlatBank(np.rint(steps).astype(np.int8))
    else:
        bank = quantize(steps, options.subspaces(geometry.dims), options.centroids, seed)
    return PatchcoreTables(
        with_step(geometry, patch_step),
        bank,
        options.search,
        options.n_candidates,
        step / (1 << SCORE_BITS),
        rotations,
        options.small_tables,
        reweight_of(step / (1 << SCORE_BITS)) if options.reweight else None,
    )


def reweight_of(unit: float) -> Reweight:
    """The exponential of distances that are `distance * unit`."""
    return Reweight(*patch_multiplier(unit * math.log2(math.e) * (1 << STEP_BITS)))


def step_of(rows: NDArray[np.float32]) -> float:
    """A 127th of the greatest magnitude."""
    return max(float(np.abs(rows).max()), 1e-12) / LIMIT


@dataclass(frozen=True, eq=False)
class Turn:
    """A level's rotation, in real units: block by block `(features - mean) @ matrix`.

    Attributes:
        order: which of the bank's features comes where; blocks are side by side in it.
        mean: float32 (features of the level,), in that order.
        matrices: float32, orthogonal, one a block.
    """

    order: NDArray[np.int64]
    mean: NDArray[np.float32]
    matrices: tuple[NDArray[np.float32], ...]


def rotation_of(
    rows: NDArray[np.float32], geometry: Geometry, n_subspaces: int, block: int | None = None
) -> tuple[Turn, ...]:
    """The rotation of optimized product quantization, level by level, for Gaussian features.

    Features are turned onto the eigenvectors of their covariance, all of a level or those of a
    block that resemble one another. Eigenvectors go to subspaces by descending variance, each to
    the subspace with the least product of variances so far that has room, so that all codes have
    about as much to tell.

    Args:
        rows: float32 (N, D), the bank.
        geometry: levels.
        n_subspaces: M.
        block: features that are turned together; None for all of a level.

    Source: Ge et al., "Optimized Product Quantization for Approximate Nearest Neighbor Search",
    2013, section 3.1.
    """
    sub_dims = geometry.dims // n_subspaces
    turns = []
    for level in geometry.levels:
        part = rows[:, level.first_dim : level.end_dim]
        mean = part.mean(axis=0)
        centred = (part - mean).astype(np.float64)
        covariance = centred.T @ centred / max(len(rows) - 1, 1)
        blocks = _alike(covariance, block or level.dims)
        matrices = []
        for own in blocks:
            variances, vectors = np.linalg.eigh(covariance[np.ix_(own, own)])
            greatest = vectors[np.abs(vectors).argmax(axis=0), np.arange(len(own))]
            vectors *= np.where(greatest < 0, -1, 1)  # eigenvectors have no sign of their own
            matrices.append(vectors[:, _balanced(variances, sub_dims)].astype(np.float32))
        order = np.concatenate(blocks)
        turns.append(Turn(level.first_dim + order, mean[order], tuple(matrices)))
    return tuple(turns)


def turn_rows(rows: NDArray[np.float32], turns: Sequence[Turn]) -> NDArray[np.float32]:
    """Rows (N, D) as the rotations make them."""
    parts = []
    for turn in turns:
        blocks = np.cumsum([len(matrix) for matrix in turn.matrices])[:-1]
        features = np.split(rows[:, turn.order] - turn.mean, blocks, axis=1)
        parts += [own @ matrix for own, matrix in zip(features, turn.matrices, strict=True)]
    return np.concatenate(parts, axis=1)


def _alike(covariance: NDArray[np.float64], size: int) -> list[list[int]]:
    """Blocks of `size` features: the one of the greatest variance left, and those most like it.

    A feature is as like a block as the magnitudes of its correlations with what is there add up to.
    """
    count = len(covariance)
    if size >= count:
        return [list(range(count))]
    variances = covariance.diagonal()
    deviations = np.sqrt(np.maximum(variances, 1e-12))
    likeness = np.abs(covariance / np.outer(deviations, deviations))
    left, blocks = list(range(count)), []
    while left:
        own = [max(left, key=lambda i: variances[i])]
        left.remove(own[0])
        while left and len(own) < size:
            own.append(max(left, key=lambda i: likeness[i, own].sum()))
            left.remove(own[-1])
        blocks.append(own)
    return blocks


def _balanced(variances: NDArray[np.float64], size: int) -> list[int]:
    """Indices of the variances, group by group of `size`, with products that are about equal."""
    floor = max(float(variances.max()), 1e-12) * 1e-6
    logs = np.log(np.maximum(variances, floor) / floor)
    groups: list[list[int]] = [[] for _ in range(-(-len(variances) // size))]
    sums = np.zeros(len(groups))
    for i in np.argsort(-variances, kind="stable").tolist():
        g = int(sums.argmin())
        groups[g].append(i)
        sums[g] = np.inf if len(groups[g]) == size else sums[g] + logs[i]
    return [i for group in groups for i in group]


def _frozen_rotation(turn: Turn, patch_step: float, step: float) -> Rotation:
    """Integers that turn patches in steps of `patch_step` into features in steps of `step`."""
    real = [matrix.T.astype(np.float64) * (patch_step / step) for matrix in turn.matrices]
    weights = np.concatenate([matrix.ravel() for matrix in real])
    shift = min(max(math.floor(math.log2(LIMIT / np.abs(weights).max())), 0), 30)
    blocks = np.cumsum([len(matrix) for matrix in real])[:-1]
    means = np.split(turn.mean.astype(np.float64), blocks)
    shares = [mean @ matrix for mean, matrix in zip(means, turn.matrices, strict=True)]
    bias = 0.5 - np.concatenate(shares) / step
    return Rotation(
        (turn.order - turn.order.min()).astype(np.uint16),
        np.clip(np.rint(weights * 2.0**shift), -LIMIT, LIMIT).astype(np.int8),
        np.clip(np.rint(bias * 2.0**shift), -(2**30), 2**30).astype(np.int32),
        len(real[0]),
        shift,
    )


def with_step(geometry: Geometry, step: float) -> Geometry:
    """The same with patches in steps of `step`."""
    taps = []
    for value, tap in zip(geometry.values, geometry.taps, strict=True):
        multiplier, shift = patch_multiplier(value.scale / (tap.patch.window**2 * step))
        patch = Patch(tap.patch.zero_point, tap.patch.window, tap.patch.stride, multiplier, shift)
        taps.append(Tap(patch, tap.level, tap.first_dim))
    return replace(geometry, taps=tuple(taps))


def patch_multiplier(real: float) -> tuple[int, int]:
    """Writes `real` as `multiplier / 2^shift`, multiplier below 2^18, shift in [1, 30]."""
    mantissa, exponent = math.frexp(real)
    shift = min(max(17 - exponent, 1), 30)
    return min(round(mantissa * 2.0 ** (exponent + shift)), (1 << 18) - 1), shift


@dataclass(frozen=True, eq=False)
class BankLevel:
    """One level's part of the bank as the firmware reads it.

    Attributes:
        first, end: subspaces of a product-quantized bank, dimensions of a flat one.
        rows: uint8 (N, bytes) packed codes, or int8 (N, dims).
        table_rows: with fewer rows left, distances are computed without tables.
    """

    first: int
    end: int
    rows: NDArray[np.uint8] | NDArray[np.int8]
    table_rows: int


def bank_levels(tables: PatchcoreTables) -> tuple[BankLevel, ...]:
    """Cuts the bank into levels: a subspace belongs to the finest level that it touches."""
    bank, levels = tables.bank, tables.geometry.levels
    parts = []
    if isinstance(bank, FlatBank):
        for level in levels:
            rows = bank.rows[:, level.first_dim : level.end_dim]
            parts.append(BankLevel(level.first_dim, level.end_dim, rows, 0))
        return tuple(parts)
    sub_dims = bank.codewords.shape[2]
    first = 0
    for level in levels:
        end = level.end_dim // sub_dims
        codes = pack(bank.codes[:, first:end], bank.bits)
        assert codes.shape[1] <= MAX_ROW_BYTES
        if tables.search == "pqnn" and bank.bits == 8:
            table_rows = 0  # the query's own code is read from the tables
        else:
            table_rows = _table_rows(bank, end - first, tables.small_tables, first == 0)
        parts.append(BankLevel(first, end, codes, table_rows))
        first = end
    return tuple(parts)


def _table_rows(bank: PqBank, n_subspaces: int, small_tables: bool, is_first: bool) -> int:
    """Rows from which on a level's tables cost less than distances straight from the codewords.

    In the first level most rows are looked at whole, in finer ones few are.
    """
    sub_dims = bank.codewords.shape[2]
    if bank.bits == 8:
        build, look_up = bank.codewords.shape[1] * _centroid_cost(sub_dims), _LOOK_UP
    elif small_tables:
        build, look_up = 16 * _centroid_cost(sub_dims), _SMALL_LOOK_UPS / 2
    else:
        build, look_up = 16 * _centroid_cost(sub_dims) + 128 * _SUM, _LOOK_UP / 2
    visited = 1.0 if is_first else _VISITED
    saved = visited * (_direct_cost(sub_dims) - look_up)
    return min(math.ceil(build / saved), 0xFFFF) if n_subspaces else 0


@dataclass(frozen=True, eq=False)
class _Part:
    name: str
    unit: str
    c_type: str
    first: int
    end: int
    row_bytes: int
    table_rows: int
    rows: NDArray[np.uint8] | NDArray[np.int8]


@dataclass(frozen=True)
class _TapFields:
    height: int
    width: int
    rows: int
    cols: int
    channels: int
    pitch: int
    zero_point: int
    window: int
    stride: int
    shift: int
    multiplier: int
    level: int
    first_dim: int


@dataclass(frozen=True, eq=False)
class _LevelFields:
    rows: int
    cols: int
    first_dim: int
    end_dim: int
    window: int
    runs: Runs


@dataclass(frozen=True, eq=False)
class PatchesCode:
    """Taps and levels as `templates/_macros/patches.j2` prints them."""

    taps: tuple[_TapFields, ...]
    levels: tuple[_LevelFields, ...]
    down: Runs

    @property
    def runs_bytes(self) -> int:
        """Flash of all runs."""
        return self.down.nbytes + sum(level.runs.nbytes for level in self.levels)


def patches_code(geometry: Geometry) -> PatchesCode:
    """What the template needs of the patches."""
    taps, levels = [], []
    for value, tap in zip(geometry.values, geometry.taps, strict=True):
        level, patch = geometry.levels[tap.level], tap.patch
        taps.append(
            _TapFields(
                value.rows,
                value.width,
                level.rows,
                level.cols,
                value.channels,
                tap.first_dim + value.channels,
                patch.zero_point,
                patch.window,
                patch.stride,
                patch.shift,
                patch.multiplier,
                tap.level,
                tap.first_dim,
            )
        )
    windows, covering = row_windows(geometry.levels), geometry.covering()
    for level, window, inside in zip(geometry.levels, windows, covering, strict=True):
        place = level.rows, level.cols, level.first_dim, level.end_dim
        levels.append(_LevelFields(*place, window.count, runs_of(inside)))
    return PatchesCode(tuple(taps), tuple(levels), runs_of(geometry.inside.T))


@dataclass(frozen=True, eq=False)
class PatchcoreCode:
    """The tables as `templates/detectors/patchcore.h.j2` prints them."""

    search: str
    summary: str
    n_codes: int
    n_candidates: int
    sub_dims: int
    bits: int
    n_centroids: int
    codewords: NDArray[np.int8] | None
    parts: tuple[_Part, ...]
    patches: PatchesCode
    warm_start: int
    table_bytes: int
    table_words: int
    rotations: tuple[Rotation, ...]
    small_tables: bool
    reweight: Reweight | None
    powers: NDArray[np.uint16]


def code(tables: PatchcoreTables) -> PatchcoreCode:
    """What the template needs, every number decided."""
    bank, geometry = tables.bank, tables.geometry
    is_flat = isinstance(bank, FlatBank)
    parts = tuple(
        _Part(
            f"vad_patchcore_rows_{i}",
            "Dimensions" if is_flat else "Subspaces",
            "int8_t" if is_flat else "uint8_t",
            part.first,
            part.end,
            part.rows.shape[1],
            part.table_rows,
            part.rows,
        )
        for i, part in enumerate(bank_levels(tables))
    )
    return PatchcoreCode(
        search="vad_flat_search"
        if is_flat
        else "vad_pqnn_search"
        if tables.search == "pqnn"
        else "vad_pq_search",
        summary=summary(tables),
        n_codes=bank.n_codes,
        n_candidates=tables.n_candidates,
        sub_dims=1 if isinstance(bank, FlatBank) else bank.codewords.shape[2],
        bits=8 if isinstance(bank, FlatBank) else bank.bits,
        n_centroids=0 if isinstance(bank, FlatBank) else bank.codewords.shape[1],
        codewords=None if isinstance(bank, FlatBank) else bank.codewords,
        parts=parts,
        patches=patches_code(geometry),
        warm_start=1,
        table_bytes=max(part.row_bytes for part in parts),
        table_words=table_words(tables),
        rotations=tables.rotations,
        small_tables=tables.small_tables,
        reweight=tables.reweight,
        powers=powers(),
    )


def summary(tables: PatchcoreTables) -> str:
    """The bank in a line, for people."""
    bank, dims = tables.bank, tables.geometry.dims
    weighted = "" if tables.reweight is None else ", re-weighted"
    if isinstance(bank, FlatBank):
        return f"{bank.n_codes:,} rows of {dims} int8 values{weighted}"
    what = "values" if tables.search == "flat" else "codes"
    block = block_of(tables)
    turned = ", rotated" if tables.rotations else ""
    turned += f" in {block}s" if block else ""
    return (
        f"{bank.n_codes:,} rows of {bank.codewords.shape[0]} {what} of {bank.bits} bits"
        f"{turned}{weighted}"
    )


def table_words(tables: PatchcoreTables) -> int:
    """uint32 words of scratch that the search needs."""
    count = ledger(tables.geometry, options_of(tables))
    return (count.table_bytes + count.heap_bytes) // 4


def sink_of(geometry: Geometry, options: Options) -> Sink:
    """The patches, and a step that searches them."""
    count = ledger(geometry, options)
    steps = with_search(geometry, "search", count.scratch_bytes, rotate=options.rotate)
    return Sink(steps, count.cell_bytes)


def with_search(
    geometry: Geometry, label: str, scratch_bytes: int, *, rotate: bool = False
) -> tuple[SinkStep, ...]:
    """A step makes the patches of each tap, those of a level side by side; one reads them all.

    Args:
        geometry: of the patches.
        label: of the last step, which takes the rows under each row of the first level.
        scratch_bytes: that it needs.
        rotate: whether patches are turned.
    """
    steps: list[SinkStep] = []
    levels: list[int] = []
    n_taps = len(geometry.taps)
    for index, level in enumerate(geometry.levels):
        before: tuple[int, ...] = ()
        for i, (value, tap) in enumerate(zip(geometry.values, geometry.taps, strict=True)):
            if tap.level != index:
                continue
            patch, dims = tap.patch, tap.first_dim + value.channels
            own = RowWindow(patch.stride, -1, patch.window)
            steps.append(
                SinkStep(
                    f"patches of tap {i}",
                    (i, *before),
                    (own, *(RowWindow() for _ in before)),
                    level.rows,
                    level.cols,
                    dims,
                    dims if rotate and dims == level.dims else 0,
                    i,
                )
            )
            before = (n_taps + len(steps) - 1,)
        levels += before
    windows, rows = row_windows(geometry.levels), geometry.levels[0].rows
    return (*steps, SinkStep(label, tuple(levels), windows, rows, scratch_bytes=scratch_bytes))


def row_windows(levels: Sequence[Level]) -> tuple[RowWindow, ...]:
    """By level, the rows under a row of the first, from `ceil(y * rows / rows of the first)` on."""
    first, y = levels[0].rows, np.arange(levels[0].rows + 1)
    windows = []
    at, above = y, first
    for level in levels:
        at, above = -(-at * level.rows // above), level.rows
        count = int((at[1:] + y[:-1] * -level.rows // first).max())
        divisor = math.gcd(level.rows, first)
        windows.append(RowWindow(level.rows // divisor, 0, count, first // divisor))
    return tuple(windows)


def block_of(tables: PatchcoreTables) -> int | None:
    """Features that are turned together, None when they are all of a level."""
    blocks = [turn.block for turn in tables.rotations if turn.block < len(turn.order)]
    return max(blocks, default=None)


def options_of(tables: PatchcoreTables) -> Options:
    """The kind and sizes of a frozen bank."""
    bank, reweight = tables.bank, tables.reweight is not None
    if isinstance(bank, FlatBank):
        return Options("flat", bank.n_codes, tables.n_candidates, 0, 8, reweight=reweight)
    n_subspaces, n_centroids, _ = bank.codewords.shape
    return Options(
        tables.search,
        bank.n_codes,
        tables.n_candidates,
        n_subspaces,
        bank.bits,
        n_centroids=n_centroids,
        rotate=bool(tables.rotations),
        small_tables=tables.small_tables,
        reweight=reweight,
        block=block_of(tables),
    )


@dataclass(frozen=True)
class Ledger:
    """What a memory bank takes, in bytes, without fitting it.

    Attributes:
        codeword_bytes, code_bytes: flash: codebooks, and codes or int8 rows.
        rotation_bytes: flash: weights, biases and order of the rotation.
        power_bytes: flash: the re-weighting's powers of two.
        table_bytes: RAM: look-up tables.
        heap_bytes: RAM: candidates of "pqnn", the rows' distances in the first level, the query's
            own decoded code.
        list_bytes: RAM: rows that may still be nearest, and the query.
        cell_bytes: RAM: scores and nearest rows, and what re-weighting remembers.
        float_bytes: the same bank as float32 rows.
        python_float_bytes: what Python's objects hold when numpy searches that float bank: the
            rows, and the distances of one query.
        python_bytes: what they hold when a library searches this bank in floats: nanopq's float32
            codebooks with its codes (a flat int8 bank: its rows as float32), and what one query
            makes: its table, the distances, the decoded candidates.
    """

    codeword_bytes: int
    code_bytes: int
    rotation_bytes: int
    power_bytes: int
    table_bytes: int
    heap_bytes: int
    list_bytes: int
    cell_bytes: int
    float_bytes: int
    python_float_bytes: int
    python_bytes: int

    @property
    def flash_bytes(self) -> int:
        """Codebooks, codes, rotation and powers."""
        return self.codeword_bytes + self.code_bytes + self.rotation_bytes + self.power_bytes

    @property
    def bank_bytes(self) -> int:
        """What lies in flash, tables and candidates: the bank, wherever it lies."""
        return self.flash_bytes + self.table_bytes + self.heap_bytes

    @property
    def scratch_bytes(self) -> int:
        """RAM while a row is searched."""
        return self.table_bytes + self.heap_bytes + self.list_bytes

    @property
    def ram_bytes(self) -> int:
        """RAM of search and answer; the patches that wait for it depend on the plan."""
        return self.scratch_bytes + self.cell_bytes


def ledger(geometry: Geometry, options: Options) -> Ledger:
    """Flash and RAM of a bank of the given kind and sizes."""
    levels, n, dims = geometry.levels, options.n_codes, geometry.dims
    row_bytes = level_row_bytes(geometry, options)
    is_pqnn = options.search == "pqnn"
    cells = levels[-1].rows * levels[-1].cols
    return Ledger(
        codeword_bytes=0 if options.is_flat8 else options.centroids * dims,
        code_bytes=n * sum(row_bytes),
        rotation_bytes=sum(_weights(v.dims, options) + 6 * v.dims for v in levels)
        if options.rotate
        else 0,
        power_bytes=powers().nbytes if options.reweight else 0,
        table_bytes=0
        if options.is_flat8
        else (128 if options.small_tables else 1024) * max(row_bytes),
        heap_bytes=8 * options.n_candidates + 4 * n + -(-dims // 4) * 4 if is_pqnn else 0,
        list_bytes=6 * ((len(levels) - 1) * n + 1) + dims,
        cell_bytes=6 * cells + (2 * dims if options.reweight else 0),
        float_bytes=4 * n * dims,
        python_float_bytes=_array_bytes(4, n, dims) + _array_bytes(4, n),
        python_bytes=_python_bytes(dims, options),
    )


def _weights(dims: int, options: Options) -> int:
    """Weights that rotate a level of so many features."""
    block = min(options.block or dims, dims)
    return dims // block * block**2 + (dims % block) ** 2


def _python_bytes(dims: int, options: Options) -> int:
    """The thesis's object memory dump: numpy arrays with their objects' own bytes."""
    n, k = options.n_codes, options.n_candidates
    if options.is_flat8:
        return _array_bytes(4, n, dims) + _array_bytes(4, n)
    m = options.subspaces(dims)
    held = _array_bytes(4, m, options.centroids, dims // m) + _array_bytes(1, n, m)
    query = _array_bytes(4, m, options.centroids) + _array_bytes(4, n)
    if options.search == "pqnn":
        query += _array_bytes(8, k) + _array_bytes(4, k, dims) + _array_bytes(4, k)
    return held + query


def _array_bytes(item_bytes: int, *shape: int) -> int:
    """`sys.getsizeof` of a numpy array of that shape, without making it."""
    return sys.getsizeof(np.empty((0,) * len(shape), np.uint8)) + item_bytes * math.prod(shape)


def level_row_bytes(geometry: Geometry, options: Options) -> tuple[int, ...]:
    """Bytes of a row in each level."""
    if options.is_flat8:
        return tuple(level.dims for level in geometry.levels)
    sub_dims = geometry.dims // max(options.subspaces(geometry.dims), 1)
    ends = [0, *(level.end_dim // max(sub_dims, 1) for level in geometry.levels)]
    return tuple(-(-(b - a) * options.bits // 8) for a, b in itertools.pairwise(ends))


# Instructions on a Cortex-M7, measured with `-O2` and fitted to 34 counts on `transistor` and the
# demo set, which they give within 8 %: a look-up, two look-ups of a byte in small tables, a sum of
# two tables' entries, what a row costs beside its look-ups and when it is kept, a value of a flat
# row, a row that is ranked for "pqnn", a value of a patch, a weight of a rotation and a value of
# what it makes.
_LOOK_UP = 4.6
_SMALL_LOOK_UPS = 10.2
_SUM = 5.2
_ROW = 39.0
_KEPT = 17.0
_VALUE = 4.6
_RANKED = 30.0
_PATCH = 78.0
_WEIGHT = 3.5
_ROTATED = 27.0
# A guess, that of an easy part: the share of the rows that each finer level still looks at, and the
# share of such a row that it looks at before it gives the row up.
_STILL = 0.05
_VISITED = 0.2


def _centroid_cost(sub_dims: int) -> float:
    """Instructions of a table's entry: the distance of a sub-vector to a centroid."""
    return 10.0 * math.ceil(sub_dims / 4) + 4.5 if sub_dims >= 4 else 5.0 * sub_dims + 27.0


def _direct_cost(sub_dims: int) -> float:
    """Instructions of the same distance without a table, for one code of a row."""
    return 16.0 * (sub_dims // 4) + 8.0 * (sub_dims % 4) + 40.0


def instructions(geometry: Geometry, options: Options, looked: Looked | None = None) -> int:
    """Instructions of the detector for one image on a Cortex-M7.

    Args:
        geometry: of `lay_out`.
        options: the bank's kind and sizes.
        looked: what the search looks at in an image; None for a guess, that of an easy part.
    """
    counts = [int(inside.sum()) for inside in geometry.covering()]
    dims = [level.dims for level in geometry.levels]
    total = sum(_PATCH * c * d for c, d in zip(counts, dims, strict=True))
    if options.rotate:
        turns = (_WEIGHT * _weights(d, options) + _ROTATED * d for d in dims)
        total += sum(c * turn for c, turn in zip(counts, turns, strict=True))
    looked = _guess(geometry, options) if looked is None else looked
    total += _ROW * looked.rows + _KEPT * looked.kept + _SUM * looked.sums
    total += looked.look_ups * (_SMALL_LOOK_UPS / 2 if options.small_tables else _LOOK_UP)
    if options.is_flat8:
        return round(total + _VALUE * looked.values)
    if options.search == "pqnn":
        total += _RANKED * counts[-1] * options.n_codes
    sub_dims = geometry.dims // options.subspaces(geometry.dims)
    total += looked.table_entries * _centroid_cost(sub_dims)
    return round(total + looked.direct * _direct_cost(sub_dims))


def _guess(geometry: Geometry, options: Options) -> Looked:
    """What the search of an easy part looks at."""
    guess = Looked()
    left = float(options.n_codes)
    row_bytes = level_row_bytes(geometry, options)
    for index, inside in enumerate(geometry.covering()):
        cells, codes = int(inside.sum()), row_bytes[index] * 8 // options.bits
        seen = cells * left * row_bytes[index] * (1.0 if index == 0 else _VISITED)
        made = Looked(rows=round(cells * left))
        if options.is_flat8:
            made = replace(made, values=round(seen))
        elif index == 0 or options.search == "pqnn":
            made = replace(
                made,
                look_ups=round(seen * (2 if options.small_tables else 1)),
                table_entries=cells * codes * options.centroids,
                sums=0 if options.bits == 8 or options.small_tables else cells * codes * 128,
            )
        else:
            made = replace(made, direct=round(seen * 8 / options.bits))
        guess = Looked(*(a + b for a, b in zip(astuple(guess), astuple(made), strict=True)))
        left *= _STILL
    return guess


_REFERENCE_IMAGES = 256
_REFERENCE_PATCHES = 8  # of an image


def add_batches(
    vectors: Callable[[], Iterable[NDArray[np.float32]]],
    trim: float,
    coreset: BatchedCoreset,
    seed: int,
) -> None:
    """Adds all patches to the coreset, but for the fraction `trim` that resembles no other image.

    A patch of a bad training image has its like in that image alone. Patches of up to 256 images
    are drawn as reference; a patch's novelty is its distance from the nearest of those that come
    from another image. Patches beyond the (1 - trim) quantile of the references' own novelty are
    dropped.

    Args:
        vectors: gives the patches of the training normals in batches, float32 (n, rows, cols, D);
            called twice when `trim` is not 0.
        trim: in [0, 0.5].
        coreset: takes the patches.
        seed: of the draw.

    Raises:
        VadgenError: no patches, or some that are not finite.
    """
    images = (image.reshape(-1, image.shape[-1]) for batch in vectors() for image in batch)
    if trim == 0:
        for patches in images:
            coreset.add(patches)
        return
    reference, owners = _draw_reference(images, seed)
    own = _novelty(reference, owners, reference, owners)
    threshold = np.quantile(own[np.isfinite(own)], 1 - trim) if len(set(owners)) > 1 else np.inf
    again = (image.reshape(-1, image.shape[-1]) for batch in vectors() for image in batch)
    for i, patches in enumerate(again):
        here = np.full(len(patches), i)
        coreset.add(patches[_novelty(patches, here, reference, owners) <= threshold])


def _draw_reference(
    images: Iterable[NDArray[np.float32]], seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Patches of a uniform draw of images (reservoir sampling), and the images they come from."""
    rng = np.random.default_rng(seed)
    slots: dict[int, tuple[int, NDArray[np.float32]]] = {}
    for image, patches in enumerate(images):
        check_finite(patches)
        slot = image if image < _REFERENCE_IMAGES else int(rng.integers(image + 1))
        picked = rng.permutation(len(patches))[:_REFERENCE_PATCHES]
        if slot < _REFERENCE_IMAGES:
            slots[slot] = (image, patches[picked])
    if not slots:
        raise VadgenError("there are no pictures to fit on", "add good pictures")
    owners = np.concatenate([np.full(len(p), i) for i, p in slots.values()])
    return np.concatenate([p for _, p in slots.values()]), owners


def _novelty(
    patches: NDArray[np.float32],
    images: NDArray[np.int64],
    reference: NDArray[np.float32],
    owners: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Squared distance from the nearest reference patch of another image."""
    distances = (reference**2).sum(axis=1) - 2 * (patches @ reference.T)
    distances[images[:, None] == owners[None]] = np.inf
    return np.asarray(distances.min(axis=1) + (patches**2).sum(axis=1))
