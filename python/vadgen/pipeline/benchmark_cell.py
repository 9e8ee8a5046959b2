"""One cell of the study: contaminate, guard, fit, set the threshold, score, measure, keep the row.

Functions here run in worker processes: what they take and give can be sent, and each worker reads
the data sets and networks once.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vadgen.benchmark.cell import Cell, Costs, Row, Suspects, figures_of
from vadgen.benchmark.contamination import Contaminated, Draw, contaminate
from vadgen.benchmark.integer import INTEGER, IntegerMethod, integer_of
from vadgen.benchmark.memory import peak_memory
from vadgen.benchmark.metrics import evaluate
from vadgen.benchmark.store import write_row
from vadgen.data.collections import open_collection
from vadgen.data.dataset import Dataset
from vadgen.data.images import image_size, load_mask
from vadgen.errors import Exit, VadgenError
from vadgen.pipeline.benchmark_features import Store, find_store
from vadgen.pipeline.manifest import sha256_file, sha256_text
from vadgen.progress import SilentProgress
from vadgen.recipe import Recipe, nearest, read_recipe
from vadgen.threshold import conformal_threshold, split_holdout

if TYPE_CHECKING:
    from vadgen.backbones.network import Network
    from vadgen.benchmark.methods.method import Method, Model, Pictures, Taps

_RANDOM = "random"
_SHOWN = 12


@dataclass(frozen=True)
class Study:
    """Settings that all cells share: where things are. They decide no figure.

    Attributes:
        roots: folders of data sets.
        views: cameras of Real-IAD.
        weights: file, or `random`, by backbone; the name "" is for all others.
        out: folder of the study, which every worker can write.
    """

    roots: tuple[Path, ...]
    views: tuple[str, ...]
    weights: tuple[tuple[str, Path], ...]
    out: Path

    def weights_of(self, backbone: str) -> Path | None:
        """The file for a backbone; None for its published weights."""
        given = dict(self.weights)
        return given.get(backbone) or given.get("")


@lru_cache(maxsize=8)
def open_parts(study: Study, dataset: str) -> Mapping[str, Dataset]:
    """The parts of a data set by name, those with labelled good and anomalous pictures.

    Raises:
        VadgenError: it is not there, or no part can be measured.
    """
    found = open_collection(dataset, study.roots, study.views)
    usable = {
        part.name: part
        for part in found
        if {item.is_anomalous for item in part.test} == {False, True}
    }
    if not usable:
        raise VadgenError(
            f"{found[0].root} has no labelled good and anomalous test pictures",
            "a study needs test/good and test/<defect>",
        )
    return usable


def weights_name(study: Study, backbone: str) -> str:
    """What a cell says of the weights: "published", "random", or digits of the file's SHA-256."""
    file = study.weights_of(backbone)
    if file is None:
        return "published"
    return _RANDOM if file.name == _RANDOM and not file.exists() else sha256_file(file)[:12]


def recipe_of(study: Study, cell: Cell, flags: Mapping[str, str | bool]) -> Recipe:
    """The recipe that builds a cell's model.

    Args:
        study: says where the weights are.
        cell: names backbone, detector, input, seed, and perhaps the board.
        flags: recipe keys that go before the cell's own.

    Raises:
        VadgenError: the weights are no longer the same.
    """
    if weights_name(study, cell.backbone) != cell.weights:
        raise VadgenError(
            f"the weights of {cell.backbone} are no longer those of the row ({cell.weights})",
            "run the benchmark again with the weights you mean",
        )
    name, _, width = cell.backbone.partition("@")
    weights = study.weights_of(cell.backbone)
    own: dict[str, str | bool] = {
        "board": cell.board,
        "backbone": name,
        "input": str(cell.input),
        "seed": str(cell.seed),
    }
    own |= {} if "detector" in flags else _detector(cell.detector).build
    own |= {"width": width} if width else {}
    own |= {"weights": str(weights)} if weights is not None else {}
    return read_recipe(None, {key: text for key, text in {**own, **flags}.items() if text})


def check_cell(study: Study, cell: Cell) -> None:
    """Raises a VadgenError now for what would stop every cell like this one later."""
    name = cell.detector.partition("@")[0]
    if name not in _known():
        raise VadgenError(f"unknown detector '{name}'", nearest(name, _known()))
    _detector(cell.detector)
    network_of(study, cell.backbone, cell.weights)
    if cell.board:
        from vadgen.board import load_board

        load_board(cell.board)


@lru_cache(maxsize=4)
def network_of(study: Study, backbone: str, weights: str) -> Network:
    """The float backbone; `weights` only tells one content of a file from another."""
    from vadgen.backbones import load_backbone

    name, _, width = backbone.partition("@")
    try:
        factor = float(width or 1)
    except ValueError:
        raise VadgenError(
            f"backbone '{backbone}' has no number behind the @", "write mobilenet_v2@0.35"
        ) from None
    return load_backbone(name, weights=study.weights_of(backbone), width=factor)


def shared_of(cell: Cell) -> Cell:
    """What all cells have in common that need the same float features."""
    return replace(cell, detector="", contamination=0.0, seed=0)


def effort_of(cell: Cell) -> tuple[int, int]:
    """Greater for cells that take longer."""
    detector = _detector(cell.detector)
    return detector.epochs, detector.effort


def needs_features(shared: Cell) -> bool:
    """Whether cells use float features: integer ones do for the guard alone."""
    return not shared.board or shared.guard


def prepare(study: Study, shared: Cell, first: int, step: int) -> None:
    """Makes the float features that cells share, of every `step`-th batch from `first` on."""
    with _one_thread():
        _find_store(study, shared).make(first, step)


def run_cell(study: Study, cell: Cell) -> None:
    """Runs a cell and keeps its row in the study's folder."""
    with _one_thread():
        try:
            training = training_of(study, cell)
        except VadgenError as error:
            row = Row(cell, impossible=error.message)
        else:
            try:
                row = _run(study, cell, training)
            except VadgenError as error:
                if error.code != Exit.DOES_NOT_FIT:
                    raise
                row = Row(cell, impossible=error.message, draw=training.draw)
    write_row(study.out, row)


@dataclass(frozen=True, eq=False)
class Training:
    """What a cell trains and tests on.

    Attributes:
        dataset: contaminated, and guarded if the cell says so.
        sha256: digest of what decides it.
        draw: of the contamination.
        suspects: of the guard.
    """

    dataset: Dataset
    sha256: str
    draw: Draw
    suspects: Suspects


def training_of(study: Study, cell: Cell) -> Training:
    """Moves anomalies and drops suspicious pictures, as the cell says.

    Raises:
        VadgenError: more anomalies are to be moved than the test set can give.
    """
    part = open_parts(study, cell.dataset)[cell.category]
    dirty = contaminate(part, cell.contamination, cell.seed, cell.input)
    dataset, suspects = dirty.dataset, Suspects()
    if cell.guard:
        dataset, suspects = _guarded(_store(study, cell), dirty, cell.seed)
    sha = sha256_text(_digest(part), repr(cell.contamination), str(cell.guard), str(cell.seed))
    return Training(dataset, sha, dirty.draw, suspects)


def _run(study: Study, cell: Cell, training: Training) -> Row:
    if cell.board:
        from vadgen.pipeline.benchmark_integer import run_integer

        recipe = recipe_of(study, cell, {})
        return run_integer(
            cell, recipe, training.dataset, training.sha256, training.draw, training.suspects
        )
    from vadgen.benchmark.methods import method_of

    return _run_float(cell, _store(study, cell), training, method_of(cell.detector))


def _run_float(cell: Cell, store: Store, training: Training, method: Method) -> Row:
    dataset = training.dataset
    train = store.pictures(list(dataset.train))
    test = store.pictures([item.path for item in dataset.test])
    split = split_holdout(len(train), cell.seed)
    with peak_memory() as peak:
        started = time.process_time()
        model = method.fit(train.take(split.fit), cell.seed, SilentProgress())
        fit_seconds, fit_peak = time.process_time() - started, peak()
    held = train.take(split.holdout)
    threshold = float_threshold(
        np.concatenate([model.score(batch).images for batch in held.batches()])
    )
    with tempfile.TemporaryDirectory(prefix="vadgen-") as folder:
        scores, maps, infer_seconds = _score(model, test, Path(folder))
        labels = np.array([item.is_anomalous for item in dataset.test])
        metrics = evaluate(scores, labels, *_masked(dataset, maps, cell.input), threshold)
        del maps
    return Row(
        cell,
        train_images=len(split.fit),
        holdout_images=len(split.holdout),
        test_images=len(test),
        draw=training.draw,
        metrics=figures_of(metrics),
        costs=Costs(
            fit_seconds=fit_seconds,
            fit_peak_bytes=fit_peak,
            infer_seconds=infer_seconds,
            backbone_seconds=store.seconds,
            model_bytes=model.model_bytes,
            backbone_bytes=parameter_bytes(store.network),
        ),
        suspects=training.suspects,
        losses=model.losses,
    )


def _guarded(store: Store, dirty: Contaminated, seed: int) -> tuple[Dataset, Suspects]:
    """The data set without suspicious training pictures, and the guard's ranking."""
    from vadgen.benchmark.guard import rank
    from vadgen.benchmark.metrics import auroc, curve_of

    paths = dirty.dataset.train
    ranking = rank(store.pictures(list(paths)), seed)
    planted = np.arange(len(paths)) >= len(paths) - len(dirty.moved)
    dropped, first = ranking.suspicious, ranking.order[:_SHOWN]
    suspects = Suspects(
        int(dropped.sum()),
        int((dropped & planted).sum()),
        auroc(curve_of(ranking.scores, planted)),
        tuple(str(paths[i]) for i in first),
        tuple((ranking.scores[first] / ranking.limit).tolist()),
        tuple(planted[first].tolist()),
    )
    kept = tuple(path for path, gone in zip(paths, dropped, strict=True) if not gone)
    return replace(dirty.dataset, train=kept), suspects


def float_threshold(scores: NDArray[np.float32]) -> float:
    """The conformal threshold of float scores: the same order statistic as for integers."""
    ranks = conformal_threshold(np.arange(len(scores)))
    return float(np.sort(scores)[ranks.value])


def parameter_bytes(network: Network) -> int:
    """Bytes of a network's float32 weights and biases."""
    arrays = (value for node in network.nodes for value in vars(node).values())
    return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))


def _score(model: Model, test: Pictures, folder: Path) -> tuple[NDArray[Any], NDArray[Any], float]:
    """Image scores, pixel maps kept on disk, and seconds of the detector for one picture."""
    shape = (len(test), test.side, test.side)
    maps = np.lib.format.open_memmap(folder / "maps.npy", "w+", np.float32, shape)
    scores, seconds, done = [], [], 0
    for batch in test.batches():
        ready = replace(batch, read_taps=_held(batch))
        started = time.process_time()
        found = model.score(ready)
        seconds.append((time.process_time() - started) / len(batch))
        scores.append(found.images)
        maps[done : done + len(batch)] = found.maps
        done += len(batch)
    return np.concatenate(scores), maps, float(np.median(seconds))


def _held(batch: Pictures) -> Callable[[NDArray[np.int64]], Taps]:
    """Reads a batch's features from memory, so that reading them from disk is not measured."""
    taps, whole = batch.taps(), batch.indices
    place = {index: i for i, index in enumerate(whole.tolist())}

    def read(indices: NDArray[np.int64]) -> Taps:
        if np.array_equal(indices, whole):
            return taps
        own = [place[index] for index in indices.tolist()]
        return tuple(tap[own] for tap in taps)

    return read


def _masked(dataset: Dataset, maps: NDArray[Any], side: int) -> tuple[Any, Any]:
    """Maps and masks, or neither where no pixel is labelled."""
    if all(item.mask is None for item in dataset.test):
        return None, None
    masks = [
        None if item.mask is None else load_mask(item.mask, image_size(item.path), side)
        for item in dataset.test
    ]
    return maps, masks


def _store(study: Study, cell: Cell) -> Store:
    store = _find_store(study, cell)
    store.make()
    return store


def _find_store(study: Study, cell: Cell) -> Store:
    part = open_parts(study, cell.dataset)[cell.category]
    network = network_of(study, cell.backbone, cell.weights)
    return find_store(network, part, _digest(part), cell.input)


@lru_cache(maxsize=64)
def _digest(part: Dataset) -> str:
    return part.sha256()


def _known() -> Mapping[str, Any]:
    """Every detector by name, float and integer."""
    from vadgen.benchmark.methods import methods

    return {**methods(), **INTEGER}


def _detector(name: str) -> Method | IntegerMethod:
    from vadgen.benchmark.methods import method_of

    return integer_of(name) or method_of(name)


def _one_thread() -> Any:
    """BLAS on one thread: workers share the cores, and sums keep their order."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)
