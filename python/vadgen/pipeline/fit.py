"""From pictures of good parts to a detector and its threshold: as `build` and the study need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vadgen.board import Board
from vadgen.data.dataset import Dataset
from vadgen.pipeline.backbone import Backbone, features, make_backbone
from vadgen.pipeline.budget import beside_interpreter, table_budget
from vadgen.pipeline.cache import Outputs
from vadgen.pipeline.calibrate import Calibrated, calibrate_detector, fitted_on
from vadgen.pipeline.data import Region
from vadgen.pipeline.manifest import sha256_text
from vadgen.pipeline.pick import choose_bank
from vadgen.pipeline.students import trained
from vadgen.progress import Progress
from vadgen.recipe import Recipe

if TYPE_CHECKING:
    from vadgen.backbones.network import Network
    from vadgen.detectors.picker import Judged


@dataclass(frozen=True, eq=False)
class Fitted:
    """A detector on its int8 backbone.

    Attributes:
        recipe: with what it left open filled in.
        network: in floats; with the trained student where the detector has one.
        backbone: int8.
        taps: int8 features of the training pictures.
        calibrated: the detector and its threshold.
        table_bytes: flash that the detector's tables might take.
        weighed: memory banks that were weighed, the chosen one first; empty without a choice.
        notes: on reading the pictures.
    """

    recipe: Recipe
    network: Network
    backbone: Backbone
    taps: Outputs
    calibrated: Calibrated
    table_bytes: int
    weighed: tuple[Judged, ...]
    notes: tuple[str, ...]


def fit_model(
    recipe: Recipe,
    board: Board,
    network: Network,
    dataset: Dataset,
    data_sha: str,
    region: Region,
    progress: Progress,
) -> Fitted:
    """Trains a student, quantizes, chooses the memory bank, fits the detector, sets the threshold.

    Args:
        recipe: with an input size.
        board: sets the limits.
        network: the float backbone.
        dataset: its training pictures are used.
        data_sha: digest of what decides the data set.
        region: of interest.
        progress: told each step.

    Raises:
        VadgenError: DOES_NOT_FIT, or too few pictures.
    """
    chosen = fitted_on(len(dataset.train), recipe)
    network = trained(recipe, network, dataset, chosen.tolist(), data_sha, progress)
    backbone = make_backbone(recipe, network, dataset, data_sha, progress)
    if recipe.runtime == "tflm":
        board = beside_interpreter(board, backbone.program, len(backbone.tflite))
    taps, notes = features(backbone, dataset.train, data_sha, progress)
    key = sha256_text(backbone.key, data_sha, region.sha256 or "")
    weighed: tuple[Judged, ...] = ()
    if recipe.detector == "patchcore":
        recipe, weighed = choose_bank(
            recipe, board, backbone, dataset.train, taps, region.mask, key, progress
        )
    progress.step(f"Fit {recipe.detector} on {len(dataset.train)} pictures")
    values = [backbone.program.values[i] for i in backbone.program.outputs]
    left = table_budget(backbone.program, board)
    calibrated = calibrate_detector(recipe, values, taps, left, key, progress, region.mask)
    return Fitted(recipe, network, backbone, taps, calibrated, left, weighed, notes)
