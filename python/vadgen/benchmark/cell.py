"""A cell of the study is what one fit depends on; a row is what came of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace

from vadgen.benchmark.contamination import Draw
from vadgen.benchmark.metrics import Metrics


@dataclass(frozen=True, order=True)
class Cell:
    """One combination of the sweep; equal cells give equal figures.

    Attributes:
        dataset: name of the data set, such as "mvtec".
        category: one of its parts.
        backbone: name, or name@width.
        weights: "published", "random", or the first digits of the file's SHA-256.
        input: height and width in pixels.
        detector: name of a method.
        contamination: share p of the training set's size that is moved from the test anomalies.
        guard: whether suspicious training pictures are dropped before the fit.
        seed: of every random choice.
        board: that an integer detector is measured for; "" for a float one.
    """

    dataset: str
    category: str
    backbone: str
    weights: str
    input: int
    detector: str
    contamination: float
    guard: bool
    seed: int
    board: str = ""

    @property
    def key(self) -> str:
        """16 hexadecimal digits that name the cell and the file of its row."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def uncontaminated(self) -> Cell:
        """What cells share that differ in contamination, guard and seed alone."""
        return replace(self, contamination=0.0, guard=False, seed=0)

    @property
    def title(self) -> str:
        """For people: the combination in one line."""
        parts = [f"{self.dataset}/{self.category}", self.backbone, self.detector]
        parts += [f"p {self.contamination:g}"] if self.contamination else []
        parts += ["guard"] if self.guard else []
        return " · ".join([*parts, f"seed {self.seed}"])


@dataclass(frozen=True)
class Figures:
    """Figures of a cell, each from 0 to 1; F1 at the best threshold that the labels allow.

    `recall` and `false_positive_rate` are those of the shipped threshold.
    """

    image_auroc: float | None = None
    pixel_auroc: float | None = None
    image_f1: float | None = None
    pixel_f1: float | None = None
    aupro: float | None = None
    aupimo: float | None = None
    recall: float | None = None
    false_positive_rate: float | None = None


@dataclass(frozen=True)
class Costs:
    """What a cell's model takes; None where it does not apply or was not measured.

    Seconds are those of the processor, all threads together, so that other work on the same
    computer does not count.

    Attributes:
        fit_seconds: of the detector's fit, features at hand.
        fit_peak_bytes: resident memory that the fit added at its height.
        infer_seconds: of the detector for one picture, its features at hand; of an integer one's
            numpy twin.
        backbone_seconds: of the backbone for one picture, in floats, or int8 and compiled for this
            computer.
        model_bytes: of statistics, bank, parameters or integer tables.
        backbone_bytes: of the backbone's weights and biases, as float32 or as int8 constants.
        macs: multiply-accumulates of the integer backbone for one picture.
        flash_bytes, ram_bytes, instructions: of the firmware on the cell's board; one picture.
    """

    fit_seconds: float | None = None
    fit_peak_bytes: int | None = None
    infer_seconds: float | None = None
    backbone_seconds: float | None = None
    model_bytes: int | None = None
    backbone_bytes: int | None = None
    macs: int | None = None
    flash_bytes: int | None = None
    ram_bytes: int | None = None
    instructions: int | None = None


@dataclass(frozen=True)
class Suspects:
    """Training pictures by how little they resemble the others, the strangest first.

    Attributes:
        dropped: how many the guard dropped.
        dropped_planted: how many of these were planted anomalies.
        auroc: how well the ranking tells planted anomalies from the rest; None without any.
        paths: the first few pictures.
        scores: their leave-one-out scores over the limit above which they are dropped.
        planted: whether each is a planted anomaly.
    """

    dropped: int = 0
    dropped_planted: int = 0
    auroc: float | None = None
    paths: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    planted: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Row:
    """A finished cell.

    Attributes:
        cell: what it was.
        impossible: why it could not be run, such as too few anomalies to move; "" when it was.
        train_images: pictures that the detector was fitted on.
        holdout_images: good pictures that set the threshold.
        test_images: labelled pictures that the figures are from.
        draw: of the contamination; None when it is impossible.
        metrics: figures by name, None where they are undefined; see `FIGURES`.
        costs: what the model takes.
        suspects: the guard's ranking; empty without the guard.
        losses: mean training loss by epoch.
    """

    cell: Cell
    impossible: str = ""
    train_images: int = 0
    holdout_images: int = 0
    test_images: int = 0
    draw: Draw | None = None
    metrics: Figures | None = None
    costs: Costs = Costs()
    suspects: Suspects = Suspects()
    losses: tuple[float, ...] = ()


def figures_of(metrics: Metrics) -> Figures:
    """The figures that a row keeps."""
    at = metrics.operating
    return Figures(
        image_auroc=metrics.image_auroc,
        pixel_auroc=metrics.pixel_auroc,
        image_f1=None if metrics.image_f1 is None else metrics.image_f1.f1,
        pixel_f1=None if metrics.pixel_f1 is None else metrics.pixel_f1.f1,
        aupro=metrics.aupro,
        aupimo=metrics.aupimo,
        recall=None if at is None else at.recall,
        false_positive_rate=None if at is None else at.false_positive_rate,
    )


FIGURES = tuple(field.name for field in fields(Figures))
