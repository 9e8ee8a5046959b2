"""Anomalies among the training pictures: equations 4.1 to 4.3 of the thesis.

n = p |train| anomalies are drawn from the test set with a generator of their own, moved to the
training set, and leave the test set. A draw with a smaller p is part of one with a larger p.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vadgen.data.dataset import Dataset, LabelledImage
from vadgen.data.images import image_size, load_mask
from vadgen.errors import VadgenError

_STREAM = 4


@dataclass(frozen=True)
class Draw:
    """What was moved.

    Attributes:
        images: n, anomalies moved (eq. 4.1, rounded to the nearest).
        ratio: share of anomalies in the contaminated training set, n / (|train| + n); it is
            p / (1 + p) but for rounding.
        pixels: mean share of defect pixels of the moved pictures (eq. 4.2, 4.3); None when one has
            no mask, 0 when nothing was moved.
    """

    images: int
    ratio: float
    pixels: float | None


@dataclass(frozen=True, eq=False)
class Contaminated:
    """A data set after the draw; moved pictures stand last in its training set."""

    dataset: Dataset
    moved: tuple[LabelledImage, ...]
    draw: Draw


def contaminate(dataset: Dataset, p: float, seed: int, side: int) -> Contaminated:
    """Moves anomalies.

    Args:
        dataset: labelled.
        p: share of the training set's size, 0 to 1.
        seed: of the draw.
        side: in pixels, at which defect pixels are counted.

    Raises:
        VadgenError: the test set would be left without anomalies.
    """
    n = round(p * len(dataset.train))
    anomalies = [item for item in dataset.test if item.is_anomalous]
    if n and n >= len(anomalies):
        raise VadgenError(
            f"{dataset.name}: contamination {p:g} takes {n} anomalies, the test set has "
            f"{len(anomalies)}",
            "ask for less --contamination",
        )
    order = np.random.default_rng([seed, _STREAM]).permutation(len(anomalies))
    moved = tuple(anomalies[i] for i in order[:n])
    gone = {item.path for item in moved}
    left = replace(
        dataset,
        train=(*dataset.train, *(item.path for item in moved)),
        test=tuple(item for item in dataset.test if item.path not in gone),
    )
    return Contaminated(left, moved, Draw(n, n / len(left.train), _pixels(moved, side)))


def _pixels(moved: tuple[LabelledImage, ...], side: int) -> float | None:
    """Mean share of defect pixels."""
    if not moved:
        return 0.0
    shares = [
        float(load_mask(item.mask, image_size(item.path), side).mean())
        for item in moved
        if item.mask is not None
    ]
    return float(np.mean(shares)) if len(shares) == len(moved) else None
