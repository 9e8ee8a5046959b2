"""The float model with the same settings: what quantization costs is the difference to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vadgen.benchmark.metrics import Metrics
from vadgen.data.dataset import Dataset
from vadgen.data.images import iter_batches
from vadgen.detectors import cfa, padim, padim_full, patchcore, students
from vadgen.detectors.coreset import BatchedCoreset
from vadgen.pipeline.backbone import BATCH, network_digest
from vadgen.pipeline.benchmark_features import find_store
from vadgen.pipeline.cache import remembered
from vadgen.pipeline.cfa import float_cells
from vadgen.pipeline.evaluation import Evaluation, evaluate_maps
from vadgen.pipeline.manifest import code_digest, sha256_text
from vadgen.pipeline.shipped import Shipped
from vadgen.progress import Progress
from vadgen.recipe import Recipe
from vadgen.ref.patch import Patch, window_sums
from vadgen.ref.patchcore import repetition
from vadgen.ref.reweight import NEIGHBORS
from vadgen.ref.smooth import SMOOTH_BITS, smooth

if TYPE_CHECKING:
    from vadgen.backbones.network import Network

Taps = Sequence[NDArray[np.float32]]

# Float features as integers in steps of 2^-12, so that windows are summed by the one definition.
_STEPS = 1 << 12


@dataclass(frozen=True, eq=False)
class _Kept:
    """What is remembered of an `Evaluation`."""

    scores: NDArray[np.float32]
    cells: NDArray[np.float32]
    metrics: Metrics
    left_out: int


def evaluate_float(
    network: Network,
    shipped: Shipped,
    dataset: Dataset,
    data_sha: str,
    fitted: NDArray[np.int64],
    recipe: Recipe,
    progress: Progress,
) -> Evaluation:
    """Metrics of the float backbone with the float form of the shipped detector; cached.

    Args:
        network: the float backbone.
        shipped: names the detector and its settings.
        dataset: training and labelled test pictures.
        data_sha: its digest.
        fitted: indices of the training pictures that the shipped detector was fitted on.
        recipe: its seed, and how the memory bank is gathered.
        progress: told the step.
    """
    size, tables, inside = shipped.input_size, shipped.detector.tables, shipped.detector.inside
    train = [dataset.train[i] for i in fitted.tolist()]
    test = [item.path for item in dataset.test]

    def batches(paths: Sequence[Path]) -> Iterator[Taps]:
        from vadgen.backbones.network import forward

        for images in iter_batches(paths, size, BATCH):
            yield forward(network, images)

    def tracked() -> Iterable[Taps]:
        return progress.track(batches(train), -(-len(train) // BATCH), "batches to fit on")

    def make() -> _Kept:
        progress.step("Score the test pictures with the float model")
        if isinstance(tables, padim.PadimTables):
            kept = [tap.channels for tap in tables.taps]
            found = padim.score_float(tracked(), batches(test), kept, inside)
            cells: NDArray[Any] = found[0]
            scores = cells.reshape(len(cells), -1).max(axis=1)
        elif isinstance(tables, padim_full.PadimFullTables):
            cells = padim_full.score_float(tracked(), batches(test), tables)[0]
            scores = cells.reshape(len(cells), -1).max(axis=1)
        elif isinstance(tables, students.StudentTables):
            cells, scores = students.score_float(batches(test), inside)
        elif isinstance(tables, cfa.CfaTables):
            own = replace(dataset, test=())
            store = find_store(network, own, data_sha, size)
            store.make()
            pictures = store.pictures(train)
            cells = float_cells(
                recipe,
                tables,
                lambda chosen: _features(pictures.take(chosen).taps(), tables.geometry),
                len(train),
                (_features(taps, tables.geometry) for taps in batches(test)),
                progress,
            )
            scores = cells.reshape(len(cells), -1).max(axis=1)
        else:
            cells, scores = _patchcore_scores(tracked, batches(test), tables, recipe)
        made = evaluate_maps(dataset, size, scores, cells, inside)
        return _Kept(made.scores, made.cells, made.metrics, made.left_out)

    names = [str(p) for p in (*train, *test)]
    settings = f"{shipped.detector.title} {size} {recipe.seed} {recipe.memory} {recipe.student}"
    region = inside.astype(np.uint8).tobytes().hex()
    key = sha256_text(code_digest(), data_sha, network_digest(network), settings, region, *names)
    kept = remembered("float", key, make)
    return Evaluation(dataset.test, kept.scores, kept.cells, kept.metrics, kept.left_out)


def _patchcore_scores(
    train: Callable[[], Iterable[Taps]],
    test: Iterator[Taps],
    tables: patchcore.PatchcoreTables,
    recipe: Recipe,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Smoothed distances (n, rows, cols) of the patches from the nearest row of a float bank.

    Beside them the image scores (n,): their maxima, re-weighted where the tables are.
    """
    geometry = tables.geometry
    rng = np.random.default_rng(recipe.seed)
    memory = recipe.memory.coreset_memory
    coreset = BatchedCoreset(tables.bank.n_codes, geometry.dims, memory, rng)
    patchcore.add_batches(
        lambda: (_features(taps, geometry) for taps in train()),
        recipe.memory.trim,
        coreset,
        recipe.seed,
    )
    bank = coreset.select(1)
    norms = (bank * bank).sum(axis=1)
    cells, scores = [], []
    for taps in test:
        features = _features(taps, geometry)
        flat = features.reshape(-1, geometry.dims)
        nearest = np.concatenate(
            [
                ((x * x).sum(axis=1) + (norms - 2 * (x @ bank.T)).min(axis=1))
                for x in np.array_split(flat, max(1, len(flat) // 4096))
            ]
        )
        distances = np.sqrt(np.maximum(nearest, 0)).reshape(features.shape[:2])
        found = np.zeros((len(features), *geometry.inside.shape), np.float32)
        found[:, geometry.inside] = distances
        smoothed = smooth(found, geometry.inside) / np.float32(1 << SMOOTH_BITS)
        cells.append(smoothed)
        for patches, own, score in zip(features, distances, smoothed.max(axis=(1, 2)), strict=True):
            share = 1.0 if tables.reweight is None else _weight(patches[own.argmax()], bank)
            scores.append(score * share)
    return np.concatenate(cells), np.array(scores, np.float32)


def _weight(patch: NDArray[np.float32], bank: NDArray[np.float32]) -> float:
    """PatchCore's weight of the strangest patch; see `ref.reweight`."""
    distances = np.sqrt(((bank - patch) ** 2).sum(axis=1))
    nearest = bank[distances.argmin()]
    order = np.argsort(((bank - nearest) ** 2).sum(axis=1), kind="stable")[:NEIGHBORS]
    beyond = np.minimum(distances[order] - distances.min(), 50.0)
    return 1.0 - 1.0 / float(np.exp(beyond).sum())


def _features(taps: Taps, geometry: patchcore.Geometry) -> NDArray[np.float32]:
    """As `patchcore.features`, from float taps."""
    last = geometry.levels[-1]
    out = np.empty((len(taps[0]), last.rows, last.cols, geometry.dims), np.float32)
    for values, tap in zip(taps, geometry.taps, strict=True):
        patch = Patch(0, tap.patch.window, tap.patch.stride, 0, 1)
        sums = window_sums(np.rint(values * _STEPS), patch)
        y, x = repetition(geometry.levels, tap.level)
        first = geometry.levels[tap.level].first_dim + tap.first_dim
        mean = sums * np.float32(1 / (_STEPS * patch.window**2))
        out[..., first : first + values.shape[-1]] = mean[:, y][:, :, x]
    return out[:, geometry.inside]
