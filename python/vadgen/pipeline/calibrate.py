"""Fits the detector and sets its threshold from pictures that the fit has not seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadgen.lower import Value
from vadgen.pipeline.backbone import BATCH
from vadgen.pipeline.cache import Outputs, remembered
from vadgen.pipeline.detector import Detector, detector_of, fit_detector
from vadgen.pipeline.manifest import sha256_text
from vadgen.pipeline.students import SHARES
from vadgen.progress import Progress
from vadgen.recipe import Recipe, canonical_json
from vadgen.ref.roi import Inside
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


def fitted_on(count: int, recipe: Recipe) -> NDArray[np.int64]:
    """Which of `count` training pictures the detector that ships is fitted on."""
    if _holds_out(count, recipe):
        return split_holdout(count, recipe.seed, alpha=recipe.alpha).fit
    return np.arange(count)


def _holds_out(count: int, recipe: Recipe) -> bool:
    """Whether pictures are kept from the fit: always from a student, which is trained but once."""
    return method_for(count, recipe.alpha) == "holdout" or recipe.detector in SHARES


def calibrate_detector(
    recipe: Recipe,
    values: Sequence[Value],
    train: Outputs,
    table_bytes: int,
    features_key: str,
    progress: Progress,
    roi: Inside | None = None,
) -> Calibrated:
    """Fits on the training normals; cached.

    With enough pictures some are held out for the threshold; with few, the detector is fitted on
    all of them and the threshold comes from folds.

    Args:
        recipe: names the detector, its options, alpha and the seed.
        values: shape and quantization of each tap.
        train: int8 taps (n, rows, cols, channels) of good pictures.
        table_bytes: flash that the detector's tables may take.
        features_key: digest of all that the taps and the mask depend on.
        progress: told of what is trained.
        roi: mask of the picture, True where it counts; None for all of it.

    Raises:
        VadgenError: too few pictures for alpha or for the detector.
    """

    def make() -> tuple[Any, ...]:
        made = _calibrate(recipe, values, train, table_bytes, progress, roi)
        return made.detector.tables, made.threshold, made.held_out, made.fitted

    key = sha256_text(features_key, canonical_json(recipe), str(table_bytes))
    tables, threshold, held_out, fitted = remembered("fit", key, make)
    return Calibrated(detector_of(tables), threshold, held_out, fitted)


def _calibrate(
    recipe: Recipe,
    values: Sequence[Value],
    train: Outputs,
    table_bytes: int,
    progress: Progress,
    roi: Inside | None,
) -> Calibrated:
    count = len(train[0])

    def fit(chosen: NDArray[np.int64]) -> Detector:
        batches = partial(batches_of, train, chosen)
        return fit_detector(recipe, values, batches, table_bytes, progress, roi)

    def scores(detector: Detector, chosen: NDArray[np.int64]) -> NDArray[np.uint32]:
        return np.concatenate([detector.score(batch)[1] for batch in batches_of(train, chosen)])

    fitted = fitted_on(count, recipe)
    whole = fit(fitted)
    if _holds_out(count, recipe):
        held_out = scores(whole, np.setdiff1d(np.arange(count), fitted))
        return Calibrated(whole, conformal_threshold(held_out, recipe.alpha), held_out, fitted)
    folds = []
    for split in split_folds(count, recipe.seed):
        part = fit(split.fit)
        on_one_scale = scores(part, split.holdout) * (part.tables.scale / whole.tables.scale)
        folds.append(np.rint(on_one_scale).astype(np.uint32))
    threshold = cross_conformal(folds, recipe.alpha)
    return Calibrated(whole, threshold, np.concatenate(folds), fitted)


def batches_of(taps: Outputs, chosen: NDArray[np.int64]) -> Iterator[Outputs]:
    """Batches of the pictures `chosen`, in order."""
    for start in range(0, len(chosen), BATCH):
        indices = chosen[start : start + BATCH]
        yield tuple(np.asarray(tap[indices]) for tap in taps)
