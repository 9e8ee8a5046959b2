"""A cell of the study whose detector is the integer one of a build: what ships, measured."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vadgen.benchmark.cell import Cell, Costs, Row, Suspects, figures_of
from vadgen.benchmark.contamination import Draw
from vadgen.benchmark.memory import peak_memory
from vadgen.benchmark.metrics import Metrics
from vadgen.board import Board
from vadgen.build.icount import count
from vadgen.data.dataset import Dataset
from vadgen.data.images import iter_batches, load_rgb
from vadgen.pipeline.backbone import BATCH, Backbone, features, open_network
from vadgen.pipeline.budget import board_of, check_plan, plan_of, sections
from vadgen.pipeline.calibrate import batches_of
from vadgen.pipeline.compiler import build_firmware, write_generated
from vadgen.pipeline.data import Region
from vadgen.pipeline.detector import fit_detector
from vadgen.pipeline.evaluation import evaluate_maps
from vadgen.pipeline.fit import fit_model
from vadgen.pipeline.shipped import Shipped
from vadgen.progress import SilentProgress
from vadgen.recipe import Recipe

if TYPE_CHECKING:
    from vadgen.backbones.network import Network


@dataclass(frozen=True)
class _Firmware:
    """What the firmware takes; None where it could not be compiled or counted."""

    flash_bytes: int | None
    ram_bytes: int
    weight_bytes: int
    instructions: int | None


def run_integer(
    cell: Cell, recipe: Recipe, dataset: Dataset, data_sha: str, draw: Draw, suspects: Suspects
) -> Row:
    """Fits, calibrates and measures as `build` does.

    Args:
        cell: to run.
        recipe: that builds it.
        dataset: contaminated, and guarded if the cell says so.
        data_sha: digest of what decides the data set.
        draw: of the contamination, for the row.
        suspects: of the guard, for the row.

    Raises:
        VadgenError: it does not fit the board, or as `build`.
    """
    progress = SilentProgress()
    board = board_of(recipe)
    fitted = fit_model(recipe, board, open_network(recipe), dataset, data_sha, Region(), progress)
    recipe, backbone, calibrated = fitted.recipe, fitted.backbone, fitted.calibrated
    values = [backbone.program.values[i] for i in backbone.program.outputs]
    again = partial(batches_of, fitted.taps, calibrated.fitted)  # the fit itself may be cached
    with peak_memory() as peak:
        started = time.process_time()
        fit_detector(recipe, values, again, fitted.table_bytes, progress)
        fit_seconds, fit_peak = time.process_time() - started, peak()
    shipped = Shipped(
        backbone.tflite,
        backbone.program,
        backbone.input_table,
        calibrated.detector,
        calibrated.threshold,
        f"row {cell.key}",
    )
    firmware = _firmware(
        shipped, board, recipe, fitted.network, load_rgb(dataset.train[0], cell.input)
    )
    metrics, infer_seconds = _evaluate(backbone, shipped, dataset, data_sha)
    return Row(
        cell,
        train_images=len(calibrated.fitted),
        holdout_images=calibrated.threshold.n,
        test_images=len(dataset.test),
        draw=draw,
        metrics=figures_of(metrics),
        costs=Costs(
            fit_seconds=fit_seconds,
            fit_peak_bytes=fit_peak,
            infer_seconds=infer_seconds,
            backbone_seconds=_backbone_seconds(backbone, dataset),
            model_bytes=calibrated.detector.table_bytes,
            backbone_bytes=firmware.weight_bytes,
            macs=backbone.program.macs,
            flash_bytes=firmware.flash_bytes,
            ram_bytes=firmware.ram_bytes,
            instructions=firmware.instructions,
        ),
        suspects=suspects,
    )


def _firmware(
    shipped: Shipped, board: Board, recipe: Recipe, network: Network, picture: NDArray[np.uint8]
) -> _Firmware:
    """Plans the model, and compiles and counts it where the board's tools are here."""
    plan = plan_of(recipe, shipped.program, board, shipped.detector)
    check_plan(plan, shipped.detector, board, recipe, network)
    with tempfile.TemporaryDirectory(prefix="vadgen-") as name:
        work = Path(name)
        generated = write_generated(
            work,
            plan,
            shipped.source,
            input_table=shipped.input_table,
            detector=shipped.code(),
            sections=sections(plan, board),
        )
        firmware = build_firmware(work, board, generated)
        counted = firmware.elf is not None and board.emulator is not None
        counts = count(firmware.elf, board, picture) if firmware.elf and counted else None
    return _Firmware(
        None if firmware.sizes is None else firmware.sizes.flash_bytes,
        plan.arena_bytes + plan.program.values[0].row_bytes,
        plan.constant_bytes,
        None if counts is None else counts.total,
    )


def _backbone_seconds(backbone: Backbone, dataset: Dataset) -> float:
    """Of the compiled backbone for one picture."""
    paths = dataset.train[:BATCH]
    images = np.concatenate(list(iter_batches(paths, backbone.program.values[0].rows, BATCH)))
    host = backbone.host()
    started = time.process_time()
    host.run(images)
    return (time.process_time() - started) / len(images)


def _evaluate(
    backbone: Backbone, shipped: Shipped, dataset: Dataset, sha: str
) -> tuple[Metrics, float]:
    """Metrics of the integer model, by the detector's numpy twin on the compiled backbone's taps.

    Beside them the twin's seconds for one picture.

    The numpy twin and the C give the same bytes: `build` and the tests compare them.
    """
    paths = [item.path for item in dataset.test]
    taps, _ = features(backbone, paths, sha, SilentProgress())
    found, seconds = [], []
    for batch in batches_of(taps, np.arange(len(paths))):
        started = time.process_time()
        found.append(shipped.detector.score(batch))
        seconds.append((time.process_time() - started) / len(batch[0]))
    cells = np.concatenate([part[0] for part in found])
    scores = np.concatenate([part[1] for part in found])
    threshold, inside = shipped.threshold.value, shipped.detector.inside
    size = shipped.input_size
    metrics = evaluate_maps(dataset, size, scores, cells, inside, threshold).metrics
    return metrics, float(np.median(seconds))
