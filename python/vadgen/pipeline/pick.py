"""Chooses PatchCore's memory bank for the board, on pictures that the threshold does not use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vadgen.board import Board
from vadgen.data.images import load_rgb
from vadgen.data.painted import KINDS, paint_defect
from vadgen.detectors import picker
from vadgen.detectors.picker import Judged
from vadgen.pipeline.backbone import BATCH, Backbone
from vadgen.pipeline.bank import look_at
from vadgen.pipeline.budget import bank_limits
from vadgen.pipeline.cache import Outputs, remembered
from vadgen.pipeline.calibrate import batches_of, fitted_on
from vadgen.pipeline.detector import bank_given, patchcore_options
from vadgen.pipeline.manifest import sha256_text
from vadgen.progress import Progress
from vadgen.recipe import Recipe, canonical_json
from vadgen.ref.roi import Inside

_PICTURES = 160  # of the training pictures; a bank for all of them is made of the same kind
_HELD = 8  # every eighth of these is held out
_TIMES = 4  # a picture is painted on
_STRENGTH = 0.15, 0.6  # of painted defects: plain ones any bank tells


def choose_bank(
    recipe: Recipe,
    board: Board,
    backbone: Backbone,
    pictures: Sequence[Path],
    taps: Outputs,
    roi: Inside | None,
    features_key: str,
    progress: Progress,
) -> tuple[Recipe, tuple[Judged, ...]]:
    """The recipe with what it left open of `[patchcore]` filled in; cached.

    Args:
        recipe: for PatchCore.
        board: sets the limits.
        backbone: makes the features of painted defects.
        pictures: the training pictures.
        taps: their int8 taps.
        roi: mask of the picture, True where it counts; None for all of it.
        features_key: digest of all that the taps and the mask depend on.
        progress: told the step.

    Returns:
        The recipe, and the banks that were weighed, the chosen one first; empty when the recipe
        left nothing open.

    Raises:
        VadgenError: DOES_NOT_FIT; or the sizes asked for contradict each other.
    """
    given = bank_given(recipe.patchcore)
    if not picker.is_open(given):
        return recipe, ()
    values = [backbone.program.values[i] for i in backbone.program.outputs]

    def make() -> tuple[Judged, ...]:
        progress.step("Choose the memory bank")
        fitted = fitted_on(len(pictures), recipe)
        spread = np.linspace(0, len(fitted) - 1, min(len(fitted), _PICTURES)).round()
        chosen = fitted[spread.astype(np.int64)]
        is_held = np.arange(len(chosen)) % _HELD == _HELD - 1
        is_held[-1] |= not is_held.any()
        held, kept = chosen[is_held], chosen[~is_held]
        return picker.pick(
            lambda: batches_of(taps, kept),
            tuple(np.asarray(tap[held]) for tap in taps),
            _painted(backbone, [pictures[i] for i in held.tolist()], recipe.seed),
            values,
            given,
            bank_limits(backbone.program, board, recipe, roi),
            patchcore_options(recipe),
            recipe.seed,
            lambda tables, images: look_at(tables, images)[1],
            roi,
        )

    key = sha256_text(features_key, canonical_json(recipe), repr(board))
    weighed = remembered("bank", key, make)
    taken = weighed[0].options
    settled = replace(
        recipe.patchcore,
        search=taken.search,
        codes=taken.n_codes,
        candidates=taken.n_candidates if taken.search == "pqnn" else None,
        subspaces=None if taken.search == "flat" else taken.n_subspaces,
        bits=taken.bits,
        opq=taken.rotate,
        opq_block=taken.block,
        small_tables=taken.small_tables,
    )
    return replace(recipe, patchcore=settled), weighed


def weighed_json(weighed: Sequence[Judged]) -> list[dict[str, Any]]:
    """The banks as `build --json` and the manifest list them, the chosen one first."""
    return [
        {
            "title": judged.options.title,
            "search": judged.options.search,
            "codes": judged.options.n_codes,
            "subspaces": judged.options.n_subspaces if judged.options.search != "flat" else None,
            "bits": judged.options.bits,
            "opq": judged.options.rotate,
            "opq_block": judged.options.block,
            "small_tables": judged.options.small_tables,
            "candidates": judged.options.n_candidates if judged.options.search == "pqnn" else None,
            **{k: v for k, v in vars(judged).items() if k != "options"},
        }
        for judged in weighed
    ]


def _painted(backbone: Backbone, pictures: list[Path], seed: int) -> Outputs:
    """The taps of the pictures, each several times with a faint defect painted on it."""
    rng = np.random.default_rng([seed, 2])
    size = backbone.program.values[0].rows
    bad = []
    for i, path in enumerate(pictures * _TIMES):
        good = load_rgb(path, size)
        painted, _ = paint_defect(rng, good, KINDS[i % len(KINDS)])
        strength = rng.uniform(*_STRENGTH)
        faint = good + strength * (painted.astype(np.float64) - good)
        bad.append(np.rint(faint).astype(np.uint8))
    host = backbone.host()
    runs = [host.run(np.stack(bad[i : i + BATCH])).outputs for i in range(0, len(bad), BATCH)]
    return tuple(np.concatenate(tap) for tap in zip(*runs, strict=True))
