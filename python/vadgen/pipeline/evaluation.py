"""What a model does on labelled pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadgen.benchmark.metrics import Metrics, evaluate
from vadgen.data.dataset import Dataset, LabelledImage
from vadgen.data.images import Notes, image_size, iter_batches, load_mask
from vadgen.pipeline.backbone import BATCH
from vadgen.pipeline.parity import Run
from vadgen.pipeline.shipped import Shipped
from vadgen.progress import Progress
from vadgen.report.heatmap import upsample

Scorer = Callable[[NDArray[np.uint8]], Run]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of the test pictures and what they come to.

    Attributes:
        items: the pictures.
        scores: (n,) image scores.
        cells: (n, rows, cols) cell scores.
        metrics: of the model.
    """

    items: tuple[LabelledImage, ...]
    scores: NDArray[Any]
    cells: NDArray[Any]
    metrics: Metrics


def evaluate_scores(dataset: Dataset, shipped: Shipped, runs: Sequence[Run]) -> Evaluation:
    """Metrics of the shipped model from its runs over the test pictures, in their order."""
    shape = shipped.detector.cell_shape
    scores = np.concatenate([run.scores for run in runs if run.scores is not None])
    cells = np.concatenate([run.cells.reshape(-1, *shape) for run in runs if run.cells is not None])
    threshold = shipped.threshold.value
    return evaluate_maps(dataset, shipped.input_size, scores, cells, threshold)


def evaluate_maps(
    dataset: Dataset,
    size: int,
    scores: NDArray[Any],
    cells: NDArray[Any],
    threshold: int | None = None,
) -> Evaluation:
    """Metrics from scores of the test pictures, in their order.

    Args:
        dataset: labelled; masks make pixel metrics.
        size: side of the input in pixels, at which pixels are counted.
        scores: (n,).
        cells: (n, rows, cols), brought to `size` bilinearly.
        threshold: the shipped one.
    """
    labels = np.array([item.is_anomalous for item in dataset.test])
    masks = [
        None if item.mask is None else load_mask(item.mask, image_size(item.path), size)
        for item in dataset.test
    ]
    maps = _Maps(cells, size) if any(mask is not None for mask in masks) else None
    return Evaluation(dataset.test, scores, cells, evaluate(scores, labels, maps, masks, threshold))


def score_pictures(
    score: Scorer, items: Sequence[LabelledImage], size: int, progress: Progress, notes: Notes
) -> Iterable[Run]:
    """Runs `score` over batches of the pictures; `notes` takes what was converted on reading."""
    batches = iter_batches([item.path for item in items], size, BATCH, notes)
    for batch in progress.track(batches, -(-len(items) // BATCH), "batches"):
        yield score(batch)


def metrics_json(metrics: Metrics) -> dict[str, float | None]:
    """The figures that `--json` holds."""
    at = metrics.operating
    return {
        "image_auroc": metrics.image_auroc,
        "image_f1": None if metrics.image_f1 is None else metrics.image_f1.f1,
        "pixel_auroc": metrics.pixel_auroc,
        "pixel_f1": None if metrics.pixel_f1 is None else metrics.pixel_f1.f1,
        "aupro": metrics.aupro,
        "aupimo": metrics.aupimo,
        "recall": None if at is None else at.recall,
        "false_positive_rate": None if at is None else at.false_positive_rate,
    }


class _Maps(Sequence[NDArray[np.float32]]):
    """Pixel maps made when they are asked for, so that memory holds one."""

    def __init__(self, cells: NDArray[Any], size: int) -> None:
        self._cells, self._size = cells, size

    def __len__(self) -> int:
        return len(self._cells)

    def __getitem__(self, index: Any) -> Any:
        return upsample(self._cells[index], self._size, self._size).astype(np.float32)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self[i] for i in range(len(self)))
