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
from vadgen.report.heatmap import map_of, pixels_of

Scorer = Callable[[NDArray[np.uint8]], Run]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of the test pictures and what they come to.

    Attributes:
        items: the pictures.
        scores: (n,) image scores.
        cells: (n, rows, cols) cell scores.
        metrics: of the model.
        left_out: pictures whose labelled defect lies outside the region of interest: no metric
            counts them.
    """

    items: tuple[LabelledImage, ...]
    scores: NDArray[Any]
    cells: NDArray[Any]
    metrics: Metrics
    left_out: int

    def notes(self) -> tuple[str, ...]:
        """What the reader of the metrics should know."""
        if not self.left_out:
            return ()
        return (
            f"test: {self.left_out} pictures have their defect outside the region of interest; no "
            "metric counts them",
        )


def evaluate_scores(dataset: Dataset, shipped: Shipped, runs: Sequence[Run]) -> Evaluation:
    """Metrics of the shipped model from its runs over the test pictures, in their order."""
    inside = shipped.detector.inside
    scores = np.concatenate([run.scores for run in runs if run.scores is not None])
    cells = np.concatenate(
        [run.cells.reshape(-1, *inside.shape) for run in runs if run.cells is not None]
    )
    threshold = shipped.threshold.value
    return evaluate_maps(dataset, shipped.input_size, scores, cells, inside, threshold)


def evaluate_maps(
    dataset: Dataset,
    size: int,
    scores: NDArray[Any],
    cells: NDArray[Any],
    inside: NDArray[np.bool_],
    threshold: int | None = None,
) -> Evaluation:
    """Metrics from scores of the test pictures, in their order.

    Args:
        dataset: labelled; masks make pixel metrics.
        size: side of the input in pixels, at which pixels are counted.
        scores: (n,).
        cells: (n, rows, cols), brought to `size` bilinearly.
        inside: (rows, cols), the cells that count.
        threshold: the shipped one.
    """
    masks = [
        None if item.mask is None else load_mask(item.mask, image_size(item.path), size)
        for item in dataset.test
    ]
    region = None if inside.all() else pixels_of(inside, size, size)
    kept = [
        i
        for i, mask in enumerate(masks)
        if mask is None or region is None or not mask.any() or (mask & region).any()
    ]
    labels = np.array([dataset.test[i].is_anomalous for i in kept])
    known = [masks[i] for i in kept]
    maps = _Maps(cells[kept], inside, size) if any(mask is not None for mask in known) else None
    metrics = evaluate(scores[kept], labels, maps, known, threshold, region)
    return Evaluation(dataset.test, scores, cells, metrics, len(masks) - len(kept))


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

    def __init__(self, cells: NDArray[Any], inside: NDArray[np.bool_], size: int) -> None:
        self._cells, self._inside, self._size = cells, inside, size

    def __len__(self) -> int:
        return len(self._cells)

    def __getitem__(self, index: Any) -> Any:
        drawn = map_of(self._cells[index], self._inside, self._size, self._size)
        return drawn.astype(np.float32)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self[i] for i in range(len(self)))
