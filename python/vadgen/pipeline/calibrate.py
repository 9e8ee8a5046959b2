"""Fits the detector and sets its threshold from pictures that the fit has not seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadgen.lower import Value
from vadgen.pipeline.backbone import BATCH
from vadgen.pipeline.cache import Outputs
from vadgen.pipeline.detector import Detector, fit_detector
from vadgen.recipe import Recipe
from vadgen.threshold import (
    Threshold,
    conformal_threshold,
    cross_conformal,
    method_for,
    split_folds,
    split_holdout,
)


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A detector with its threshold.

    Attributes:
        detector: frozen.
        threshold: of the image score.
        held_out: the scores that it was set from.
        fitted: indices of the pictures that the detector was fitted on.
    """

    detector: Detector
    threshold: Threshold
    held_out: NDArray[np.uint32]
    fitted: NDArray[np.int64]


def calibrate_detector(
    recipe: Recipe, values: Sequence[Value], train: Outputs, table_bytes: int
) -> Calibrated:
    """Fits on the training normals.

    With enough pictures some are held out for the threshold; with few, the detector is fitted on
    all of them and the threshold comes from folds.

    Args:
        recipe: names the detector, its options, alpha and the seed.
        values: shape and quantization of each tap.
        train: int8 taps (n, rows, cols, channels) of good pictures.
        table_bytes: flash that the detector's tables may take.

    Raises:
        VadgenError: too few pictures for alpha or for the detector.
    """
    count = len(train[0])

    def fit(chosen: NDArray[np.int64]) -> Detector:
        return fit_detector(recipe, values, lambda: batches_of(train, chosen), table_bytes)

    def scores(detector: Detector, chosen: NDArray[np.int64]) -> NDArray[np.uint32]:
        return np.concatenate([detector.score(batch)[1] for batch in batches_of(train, chosen)])

    if method_for(count, recipe.alpha) == "holdout":
        split = split_holdout(count, recipe.seed, alpha=recipe.alpha)
        detector = fit(split.fit)
        held_out = scores(detector, split.holdout)
        threshold = conformal_threshold(held_out, recipe.alpha)
        return Calibrated(detector, threshold, held_out, split.fit)
    folds = [scores(fit(s.fit), s.holdout) for s in split_folds(count, recipe.seed)]
    threshold = cross_conformal(folds, recipe.alpha)
    everything = np.arange(count)
    return Calibrated(fit(everything), threshold, np.concatenate(folds), everything)


def batches_of(taps: Outputs, chosen: NDArray[np.int64]) -> Iterator[Outputs]:
    """Batches of the pictures `chosen`, in order."""
    for start in range(0, len(chosen), BATCH):
        indices = chosen[start : start + BATCH]
        yield tuple(np.asarray(tap[indices]) for tap in taps)
