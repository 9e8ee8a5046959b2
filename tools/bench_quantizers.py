"""Ways to quantize a memory bank, side by side at equal bytes: benchmarks/quantizers.csv.

    python tools/bench_quantizers.py DATA [--backbone NAME] [--weights FILE] [--bytes SIZE ...]
                                     [--most N]

For each cap on the whole bank (codes, codebooks, rotation, constants of a row, the smallest tables
that a search can do with) every kind is made as large as the cap allows, all from the coreset of
`bench_banks.py`. Some of the kinds exist here alone: the others are what a build can take.
Codewords are rounded to the bank's int8 steps; patches and distances are floats, since this asks
what codes can tell and not what integers lose (`bench_banks.py` does).

`noise` and `error` are the picker's: of the distances of held-out normal patches, against those of
the same rows as floats, and of 4,096 rows as floats. `look_ups` is an upper bound for a patch and a
row: a level's codes are looked up for rows that coarser levels leave below the nearest distance.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from bench_banks import Labelled, float_scores, image_auroc, open_labelled, renew
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2, vq

from vadgen.detectors.patchcore import Geometry, Options, features, ledger, rotation_of, turn_rows
from vadgen.progress import open_progress
from vadgen.recipe import Recipe, read_recipe
from vadgen.ref.smooth import smooth
from vadgen.units import parse_bytes

TABLE = Path(__file__).resolve().parents[1] / "benchmarks" / "quantizers.csv"

Float32 = NDArray[np.float32]
MOST_ROWS, LEAST_ROWS = 4096, 256  # the picker's
_NORMALS = 20  # pictures
_TRAINING = 16384  # patches, where codebooks are trained on them
_ROUNDS = 20  # of k-means
_COARSE = 16  # centroids of a whole level
_ENTRY = 4  # bytes of a look-up table's entry, and of a constant


@dataclass(frozen=True)
class Kind:
    """A way to quantize rows.

    Attributes:
        sub_dims: of the sub-vectors; with `by_variance` their mean length.
        bits: of a code, by level, coarsest first; the last one holds for finer levels too. 0 keeps
            int8 values.
        codebook: "own" of each sub-vector; "sums": a code of 8 bits names one of 16 vectors and one
            of 16 to be added to it, two stages trained together; "shared": all sub-vectors of a
            level have one, and each a mean.
        block: 0, or features are turned first, as `patchcore.rotation_of` does, within blocks of so
            many of a level that resemble one another; a level has one block at most.
        by_variance: of turned features: sub-vectors are as long as such a code has to tell.
        coarse: first stage: the nearest of 16 rows of a whole level; codes are of the residual.
        on_patches: codebooks are trained on patches in place of the bank.
    """

    sub_dims: int
    bits: tuple[int, ...]
    codebook: Literal["own", "sums", "shared"] = "own"
    block: int = 0
    by_variance: bool = False
    coarse: bool = False
    on_patches: bool = False

    def title(self, dims: int) -> str:
        """For people, as `patchcore.Options.title`."""
        if self.sub_dims == 1:
            return f"flat {self.bits[0] or 8}"
        codes = f"{dims // self.sub_dims}x"
        codes += "4+4" if self.codebook == "sums" else "/".join(map(str, self.bits))
        notes = {
            f", rotated in {self.block}s": 0 < self.block < _LEVEL,
            ", rotated": self.block == _LEVEL,
            ", shared codebook": self.codebook == "shared",
            ", lengths by variance": self.by_variance,
            ", residual": self.coarse,
            ", trained on patches": self.on_patches,
        }
        return codes + "".join(note for note, has in notes.items() if has)


_LEVEL = 1 << 16  # a block of this size is a whole level

KINDS = (
    Kind(1, (0,)),
    Kind(1, (4,)),
    Kind(2, (4,)),
    Kind(4, (4,)),
    Kind(4, (8,)),
    Kind(8, (8,)),
    Kind(2, (4,), block=_LEVEL),
    Kind(4, (4,), block=_LEVEL),
    Kind(8, (8,), block=_LEVEL),
    Kind(2, (4,), on_patches=True),
    Kind(8, (8,), on_patches=True),
    Kind(2, (4,), coarse=True),
    Kind(4, (4,), block=_LEVEL, coarse=True),
    Kind(4, (8,), "sums"),
    Kind(8, (8,), "sums"),
    Kind(8, (8,), "sums", block=_LEVEL),
    Kind(4, (8,), "shared"),
    Kind(8, (8,), "shared", block=_LEVEL),
    Kind(4, (8, 4)),
    Kind(4, (4, 8)),
    Kind(4, (4,), block=_LEVEL, by_variance=True),
    Kind(2, (4,), block=8),
    Kind(4, (4,), block=16),
    Kind(4, (4,), block=32),
)


@dataclass(frozen=True)
class Part:
    """A sub-vector: dimensions [first, end) of level `level`, in codes of `bits`."""

    level: int
    first: int
    end: int
    bits: int

    @property
    def dims(self) -> slice:
        """Where it lies."""
        return slice(self.first, self.end)


@dataclass(frozen=True)
class Line:
    """One bank on one set."""

    data: str
    backbone: str
    pictures: int
    cap: int
    kind: str
    rows: int
    bank_bytes: int
    noise: float
    error: float
    look_ups: float
    float_auroc: float
    image_auroc: float


def measure(recipe: Recipe, caps: list[int], most: int) -> Iterator[Line]:
    """Every kind under every cap."""
    data = open_labelled(recipe, most, open_progress(sys.stderr))
    geometry, rng = data.geometry, np.random.default_rng(recipe.seed)
    held = np.setdiff1d(np.arange(len(data.train[0])), data.fitted)[:_NORMALS]
    normals = features(tuple(tap[held] for tap in data.train), geometry)
    test = features(data.test, geometry)
    patches = _drawn(data, rng)
    largest = _distances(normals, data.rows)
    banks = [
        (cap, kind, _most_rows(kind, data.rows, geometry, cap)) for cap in caps for kind in KINDS
    ]
    banks = [bank for bank in banks if bank[2] >= LEAST_ROWS]
    floats = float_scores(data.test, data.rows, {n for _, _, n in banks}, geometry)
    for cap, kind, n in banks:
        rows = data.rows[:n]
        parts = _parts(kind, rows, geometry)
        coded = _quantized(kind, parts, rows, patches, geometry, rng)
        same, found = _distances(normals, rows), _distances(normals, coded)
        yield Line(
            data.dataset.name,
            recipe.backbone,
            len(test),
            cap,
            kind.title(geometry.dims),
            n,
            _bank_bytes(kind, parts, n, geometry),
            round(_relative(found, same), 3),
            round(_relative(found, largest), 3),
            round(_look_ups(kind, parts, coded, normals[0], geometry), 2),
            round(image_auroc(floats[n], data.is_anomalous), 4),
            round(image_auroc(_scores(_distances(test, coded), geometry), data.is_anomalous), 4),
        )


def _drawn(data: Labelled, rng: np.random.Generator) -> Float32:
    """Patches drawn from the pictures that the coreset was chosen from."""
    each = -(-_TRAINING // len(data.fitted))
    drawn = []
    for i in data.fitted.tolist():
        own = features(tuple(tap[i : i + 1] for tap in data.train), data.geometry)[0]
        drawn.append(own[rng.permutation(len(own))[:each]])
    return np.concatenate(drawn)


def _most_rows(kind: Kind, rows: Float32, geometry: Geometry, cap: int) -> int:
    """Rows of the largest bank under the cap, 0 when there is none.

    Lengths by variance depend on the rows and they on the lengths; the largest bank's serve.
    """
    parts = _parts(kind, rows, geometry)
    fixed = _bank_bytes(kind, parts, 0, geometry)
    each = _bank_bytes(kind, parts, 1, geometry) - fixed
    return max(0, min((cap - fixed) // each, MOST_ROWS, len(rows)))


def _bank_bytes(kind: Kind, parts: Sequence[Part], n: int, geometry: Geometry) -> int:
    levels = range(len(geometry.levels))
    by_level = [[part for part in parts if part.level == i] for i in levels]
    row_bytes = sum(-(-sum(part.bits or 8 for part in own) // 8) for own in by_level)
    tables = max(sum(_ENTRY << part.bits for part in own if part.bits) for own in by_level)
    codebooks = sum((part.end - part.first) << part.bits for part in parts if part.bits)
    if kind.codebook == "sums":
        codebooks = sum((part.end - part.first) * 32 for part in parts)
    elif kind.codebook == "shared":
        codebooks = len(levels) * kind.sub_dims * 256 + geometry.dims
    if kind.block:
        codebooks += ledger(geometry, Options(rotate=True, block=kind.block)).rotation_bytes
    if kind.coarse:  # a row's code and constant in each level
        codebooks += _COARSE * geometry.dims
        row_bytes += len(levels) * _ENTRY + -(-len(levels) // 2)
        tables += _COARSE * _ENTRY
    return n * row_bytes + codebooks + tables


def _parts(kind: Kind, rows: Float32, geometry: Geometry) -> list[Part]:
    parts = []
    for i, level in enumerate(geometry.levels):
        bits = kind.bits[min(i, len(kind.bits) - 1)]
        ends = list(range(level.first_dim, level.end_dim + 1, kind.sub_dims))
        if kind.by_variance:
            ends = _ends_by_variance(rows, geometry, bits / kind.sub_dims, bits)[i]
        parts += [Part(i, a, b, bits) for a, b in zip(ends, ends[1:], strict=False)]
    return parts


def _ends_by_variance(rows: Float32, geometry: Geometry, rate: float, bits: int) -> list[list[int]]:
    """By level, where sub-vectors begin and end, each with about `bits` to tell.

    Rotated features of descending variance; one of variance v is worth log2(v / theta) / 2 bits, or
    none, and theta makes that `rate` a feature.
    """
    turns = rotation_of(rows, geometry, geometry.dims)
    logs = np.log2(np.maximum(turn_rows(rows, turns).var(axis=0), 1e-12)) / 2
    low, high = float(logs.min()) - bits, float(logs.max())
    for _ in range(50):
        middle = (low + high) / 2
        is_rich = np.clip(logs - middle, 0, bits).mean() > rate
        low, high = (middle, high) if is_rich else (low, middle)
    worth = np.clip(logs - low, 0, bits)
    found = []
    for level in geometry.levels:
        groups = np.floor((np.cumsum(worth[level.first_dim : level.end_dim]) - 1e-6) / bits)
        starts = np.flatnonzero(np.diff(groups, prepend=-1))
        found.append([*(level.first_dim + starts).tolist(), level.end_dim])
    return found


def _quantized(
    kind: Kind,
    parts: Sequence[Part],
    rows: Float32,
    patches: Float32,
    geometry: Geometry,
    rng: np.random.Generator,
) -> Float32:
    """What the codes of the rows stand for."""
    turn, offset = _turn(kind, rows, geometry)
    turned = rows @ turn + offset
    training = patches @ turn + offset if kind.on_patches else turned
    step = np.float32(np.abs(turned).max() / 127)
    base = np.zeros_like(turned)
    if kind.coarse:
        for level in geometry.levels:
            own = slice(level.first_dim, level.end_dim)
            centroids = _stepped(_k_means(turned[:, own], _COARSE, rng), step)
            base[:, own] = centroids[vq(turned[:, own], centroids)[0]]
        training = turned - base
    coded = base.copy()
    for level in range(len(geometry.levels)):
        of_level = [part for part in parts if part.level == level]
        if kind.codebook == "shared":
            means = _stepped(training.mean(axis=0), step)
            pooled = np.concatenate([(training - means)[:, part.dims] for part in of_level])
            pooled = pooled[rng.permutation(len(pooled))[:_TRAINING]]
            words = _stepped(_k_means(pooled, 256, rng), step)
            codebooks = [means[part.dims] + words for part in of_level]
        elif kind.codebook == "sums":
            codebooks = [_sums(training[:, part.dims], step, rng) for part in of_level]
        else:
            codebooks = [
                _stepped(_k_means(training[:, part.dims], 1 << part.bits, rng), step)
                if part.bits
                else np.empty(0, np.float32)
                for part in of_level
            ]
        for part, words in zip(of_level, codebooks, strict=True):
            residual = turned[:, part.dims] - base[:, part.dims]
            coded[:, part.dims] += words[vq(residual, words)[0]] if part.bits else residual
    if kind.bits == (0,):
        coded = _stepped(coded, step)
    return (coded - offset) @ turn.T


def _turn(kind: Kind, rows: Float32, geometry: Geometry) -> tuple[Float32, Float32]:
    """The rotation as a matrix and what is added behind it."""
    if not kind.block:
        return np.eye(geometry.dims, dtype=np.float32), np.zeros(geometry.dims, np.float32)
    sub_dims = 1 if kind.by_variance else kind.sub_dims
    turns = rotation_of(rows, geometry, geometry.dims // sub_dims, kind.block)
    offset = turn_rows(np.zeros((1, geometry.dims), np.float32), turns)[0]
    return turn_rows(np.eye(geometry.dims, dtype=np.float32), turns) - offset, offset


def _k_means(vectors: Float32, n: int, rng: np.random.Generator) -> Float32:
    """Centroids float32 (n, dims), as nanopq trains them."""
    if len(vectors) <= n:
        return np.resize(vectors, (n, vectors.shape[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a centroid was left without vectors
        words, _ = kmeans2(vectors, n, iter=_ROUNDS, minit="points", seed=rng)
    return np.asarray(words, np.float32)


def _sums(vectors: Float32, step: np.float32, rng: np.random.Generator) -> Float32:
    """256 centroids, each the sum of one of 16 and one of 16 others.

    The second stage begins with the residuals of the first; then each is in turn what is left of
    the vectors, in the mean, by the other.
    """
    first = _k_means(vectors, 16, rng)
    second = _k_means(vectors - first[vq(vectors, first)[0]], 16, rng)
    for _ in range(_ROUNDS):
        code = vq(vectors, _all_sums(first, second))[0]
        first = _means(vectors - second[code % 16], code // 16, first)
        second = _means(vectors - first[code // 16], code % 16, second)
    return _all_sums(_stepped(first, step), _stepped(second, step))


def _all_sums(first: Float32, second: Float32) -> Float32:
    return (first[:, None] + second[None]).reshape(-1, first.shape[1])


def _means(vectors: Float32, owners: NDArray[np.integer], old: Float32) -> Float32:
    """The mean of each centroid's vectors; a centroid without any stays."""
    counts = np.bincount(owners, minlength=len(old))[:, None]
    sums = np.zeros_like(old)
    np.add.at(sums, owners, vectors)
    return np.where(counts > 0, sums / np.maximum(counts, 1), old).astype(np.float32)


def _stepped(values: Float32, step: np.float32) -> Float32:
    return np.rint(values / step) * step


def _distances(pictures: Float32, rows: Float32) -> NDArray[np.float64]:
    """Distance of each patch from the nearest row, float64 (pictures, patches)."""
    norms = (rows**2).sum(axis=1)
    found = [(x**2).sum(axis=1) + (norms - 2 * (x @ rows.T)).min(axis=1) for x in pictures]
    return np.sqrt(np.maximum(np.array(found, np.float64), 0))


def _scores(distances: NDArray[np.float64], geometry: Geometry) -> NDArray[np.float64]:
    """Of pictures: their greatest smoothed distances."""
    cells = distances.reshape(-1, *geometry.inside.shape)
    return np.asarray(smooth(cells, geometry.inside).max(axis=(1, 2)))


def _relative(found: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    return float((found - truth).std() / truth.std())


def _look_ups(
    kind: Kind, parts: Sequence[Part], coded: Float32, picture: Float32, geometry: Geometry
) -> float:
    """Entries that are read for a patch of the finest level and a row; a flat bank's values."""
    whole = np.zeros((len(picture), len(coded)), np.float32)
    shares, levels = [], geometry.levels
    partial = []
    for level in levels:
        own = slice(level.first_dim, level.end_dim)
        x, rows = picture[:, own], coded[:, own]
        partial.append(whole.copy())
        whole += (x**2).sum(axis=1)[:, None] - 2 * (x @ rows.T) + (rows**2).sum(axis=1)
    nearest = whole.min(axis=1, keepdims=True)
    shares = [1.0, *(float((part <= nearest).mean()) for part in partial[1:])]
    total = 0.0
    for i, (level, share) in enumerate(zip(levels, shares, strict=True)):
        codes = sum(part.level == i for part in parts) + 2 * kind.coarse
        cells = level.rows * level.cols / (levels[-1].rows * levels[-1].cols)
        total += codes * share * cells
    return total


def main() -> None:
    """Renews the lines of one set and backbone."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--weights")
    parser.add_argument("--board", default="qemu_m7")
    parser.add_argument("--most", type=int, default=200)
    parser.add_argument("--bytes", nargs="+", default=["32K", "64K", "128K"])
    args = parser.parse_args()
    flags = {k: v for k, v in vars(args).items() if k not in ("bytes", "most") and v is not None}
    recipe = read_recipe(None, {**flags, "input": "224", "detector": "patchcore"})
    renew(TABLE, Line, measure(recipe, [parse_bytes(text) for text in args.bytes], args.most))


if __name__ == "__main__":
    main()
