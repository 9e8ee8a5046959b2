"""`build`: from a folder of good pictures to verified firmware and its report."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vadgen.board import Board
from vadgen.build.icount import Counts, count
from vadgen.build.size import Sizes
from vadgen.build.tflm import Library
from vadgen.build.tools import tool_versions
from vadgen.data.dataset import Dataset
from vadgen.data.images import Notes
from vadgen.detectors.picker import Judged
from vadgen.emit.model import ABI
from vadgen.pipeline.backbone import network_digest, open_network
from vadgen.pipeline.bank import bank_of, search_parts
from vadgen.pipeline.budget import (
    board_of,
    check_interpreted,
    check_plan,
    plan_of,
    sections,
    settle,
)
from vadgen.pipeline.cache import remembered
from vadgen.pipeline.calibrate import Calibrated
from vadgen.pipeline.compiler import (
    Firmware,
    build_firmware,
    by_label,
    by_part,
    check_portable,
    drop_work,
    needs_tool,
    proved,
    run_on_emulator,
    runtime_json,
    tflm_run,
    write_generated,
    write_vectors,
)
from vadgen.pipeline.data import Region, open_dataset, open_region, parity_images
from vadgen.pipeline.evaluation import Evaluation, evaluate_scores, metrics_json, score_pictures
from vadgen.pipeline.fit import fit_model
from vadgen.pipeline.floats import evaluate_float
from vadgen.pipeline.identity import make_identity, model_digest
from vadgen.pipeline.interpreted import Interpreter, is_run_here, open_library
from vadgen.pipeline.manifest import (
    code_digest,
    sha256_file,
    sha256_text,
    write_json,
    write_manifest,
)
from vadgen.pipeline.parity import Agreement, Run, compare, from_host
from vadgen.pipeline.pick import weighed_json
from vadgen.pipeline.shipped import Shipped, to_int8
from vadgen.pipeline.staging import shown, staged
from vadgen.pipeline.students import untrained
from vadgen.plan.explain import explain_plan
from vadgen.plan.planner import Plan
from vadgen.progress import Progress
from vadgen.recipe import Recipe, canonical_json, recipe_hash, to_toml

if TYPE_CHECKING:
    from vadgen.pipeline.benchmark_cell import Training

RUNNERS = ("host", "emulator", "tflm")


@dataclass(frozen=True)
class BuildResult:
    """What `build` prints; see the command line's documentation for each key."""

    board: str
    out: str
    data: str
    backbone: str
    detector: str
    detector_title: str
    input: int
    flash_bytes: int | None
    ram_bytes: int
    model_bytes: int
    instructions: int | None
    instructions_by: Mapping[str, int]
    search_instructions: Mapping[str, int]
    instructions_by_operator: Mapping[str, int]
    instructions_by_function: Mapping[str, int]
    parity: Mapping[str, bool | None]
    parity_by: Mapping[str, Mapping[str, bool | None]]
    parity_images: int
    runtime: str
    runtimes: list[dict[str, Any]]
    metrics: Mapping[str, Mapping[str, float | None]] | None
    threshold: int
    alpha: float
    normals: int
    report: str
    sizes: Sizes | None
    needs_tool: Mapping[str, str] | None
    weighed: list[dict[str, Any]]
    notes: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As `build --json` prints it."""
        sizes = {} if self.sizes is None else self.sizes.to_json()
        own = {k: v for k, v in vars(self).items() if k not in ("sizes", "notes")}
        return {**sizes, **own, "notes": list(self.notes)}


@dataclass(frozen=True, eq=False)
class Built:
    """A firmware of the model on one runtime, and what came of running it.

    Attributes:
        plan: of its generated code.
        firmware: and its sizes.
        run: on the board, where it runs here.
        counts: of one image, on an emulated board.
    """

    plan: Plan
    firmware: Firmware
    run: Run | None
    counts: Counts | None


@dataclass(frozen=True, eq=False)
class Made:
    """All that a build came to, for the report and the manifest.

    `compiled` is vadgen's own runtime beside another one, to compare them.
    """

    recipe: Recipe
    board: Board
    dataset: Dataset
    data_sha: str
    tflm_sha: str | None
    region: Region
    shipped: Shipped
    plan: Plan
    calibrated: Calibrated
    evaluation: Evaluation | None
    evaluation_float: Evaluation | None
    agreements: Mapping[str, Agreement]
    images: NDArray[np.uint8]
    reference: Run
    firmware: Firmware
    counts: Counts | None
    compiled: Built | None
    weighed: tuple[Judged, ...]
    notes: tuple[str, ...]


def build(
    recipe: Recipe, out: Path | None, progress: Progress, training: Training | None = None
) -> BuildResult:
    """Runs every step; `out` appears when all of them are done.

    Args:
        recipe: what to make.
        out: folder to write; None for `build/BOARD`.
        progress: told each step.
        training: data set of a study's row; None for the recipe's own.

    Raises:
        VadgenError: see the exit codes.
    """
    started = time.monotonic()
    board = board_of(recipe)
    target = out or Path("build") / board.id
    with staged(target) as work:
        made = _make(recipe, board, work, progress, training)
        progress.step("Write the report")
        from vadgen.pipeline.reporting import write_report

        write_report(work, made)
        (work / "recipe.toml").write_text(to_toml(made.recipe), encoding="utf-8")
        write_manifest(work, "build", _facts(made))
    return _result(made, target, time.monotonic() - started)


def _make(
    recipe: Recipe, board: Board, work: Path, progress: Progress, training: Training | None
) -> Made:
    library = open_library(recipe.runtime, recipe.tflm, board)
    progress.step("Read the data set")
    dataset = open_dataset(recipe) if training is None else training.dataset
    data_sha = dataset.sha256() if training is None else training.sha256
    region = open_region(recipe, dataset)
    network = open_network(recipe)
    likeness = untrained(recipe, network)
    progress.step(f"Choose what fits {board.id}")
    wanted = sha256_text(
        code_digest(), repr(recipe), repr(board), network_digest(likeness), region.sha256 or ""
    )
    find = partial(settle, recipe, board, likeness, region.mask)
    settled = remembered("settled", wanted, find)
    recipe = replace(recipe, input=settled.input, detector=settled.detector)
    fitted = fit_model(recipe, board, network, dataset, data_sha, region, progress)
    recipe, backbone, calibrated = fitted.recipe, fitted.backbone, fitted.calibrated
    network = fitted.network
    said = [*region.notes, *(f"training: {line}" for line in fitted.notes)]
    said += [settled.why] if settled.why else []

    progress.step("Plan and generate the C")
    digests = {
        "data_sha256": data_sha,
        "roi_sha256": region.sha256,
        "tflm_sha256": None if library is None else sha256_file(library.archive),
    }
    shipped = Shipped(
        backbone.tflite,
        backbone.program,
        backbone.input_table,
        calibrated.detector,
        calibrated.threshold,
        f"recipe {recipe_hash(recipe, **digests)[:16]}",
    )
    shipped.save(work)
    expected = _Expected(shipped, model_digest(work).hex())
    plan = plan_of(recipe, shipped.program, board, shipped.detector)
    check_plan(plan, shipped.detector, board, recipe, network, region.mask)
    code: dict[str, Any] = {
        "input_table": shipped.input_table,
        "detector": shipped.code(),
        "identity": make_identity(work, board, shipped.program, expected.reference),
    }
    generated = write_generated(work, plan, shipped.source, sections=sections(plan, board), **code)

    progress.step("Compile and run on this computer")
    images = parity_images(dataset, shipped.input_size)
    with ThreadPoolExecutor(2) as pool:
        compiling, oracle = pool.submit(shipped.host, work), pool.submit(expected.oracle, images)
        reference = expected.reference(images)
    write_vectors(work, images, reference)
    host = compiling.result()
    agreements = {
        "tflm": compare(reference, oracle.result()),
        "host": compare(reference, from_host(host.run(images))),
    }
    evaluation: Evaluation | None = None
    evaluation_float: Evaluation | None = None
    if dataset.test:
        progress.step(f"Score {len(dataset.test)} test pictures")
        seen = Notes()
        runs = list(
            score_pictures(
                lambda x: from_host(host.run(x, want_outputs=False)),
                dataset.test,
                shipped.input_size,
                progress,
                seen,
            )
        )
        said += [f"test: {line}" for line in seen.lines()]
        evaluation = evaluate_scores(dataset, shipped, runs)
        said += evaluation.notes()
        evaluation_float = evaluate_float(
            network, shipped, dataset, data_sha, calibrated.fitted, recipe, progress
        )

    put_together = partial(build_and_run, shipped, images, progress)
    compiled: Built | None = None
    if recipe.runtime == "tflm":
        if library is not None:
            with tempfile.TemporaryDirectory(prefix="vadgen-") as name:
                compiled = put_together(board, Path(name), plan, generated)
        board = replace(board, kernels=("portable",))  # none of ours is called
        interpreter = Interpreter(board, library, shipped.tflite)
        progress.step("Find the arena of TensorFlow Lite Micro")
        arena_bytes = interpreter.arena_bytes()
        plan = interpreter.plan(shipped.detector.sink, arena_bytes)
        check_interpreted(plan, shipped.detector, board, len(shipped.tflite))
        shutil.rmtree(generated)
        generated = write_generated(
            work,
            plan,
            shipped.source,
            sections=sections(plan, board),
            network=interpreter.network(arena_bytes),
            **code,
        )
    built = put_together(board, work, plan, generated, library)
    firmware, counts = built.firmware, built.counts
    if built.run is not None:
        agreement = compare(reference, built.run)
        if board.emulator is not None:
            agreements["emulator"] = agreement
        elif recipe.runtime == "tflm":
            agreements["host"] = agreement
        else:
            agreements["host"] = agreements["host"].and_also(agreement)
        if recipe.runtime == "tflm" and not agreement.taps:
            pairs = zip(reference.outputs, built.run.outputs, strict=True)
            wrong = [(a != b).reshape(len(images), -1).any(axis=1) for a, b in pairs]
            first = int(np.logical_or.reduce(wrong).argmax())
            inputs = to_int8(shipped.input_table, images[first : first + 1])
            raise interpreter.differs(inputs)
    if counts is not None and counts.reason:
        said.append(f"instructions not counted: {counts.reason}")
    if recipe.runtime == "tflm" and built.run is None:
        said.append(
            "TensorFlow Lite Micro's arena is an estimate: the board refuses a picture where it is "
            "too small"
        )
    if firmware.missing is not None:
        progress.step("Check the portable C with this computer's compiler")
        check_portable(
            shipped.program,
            images,
            reference,
            sink=shipped.detector.sink,
            cell_shape=shipped.detector.cell_shape,
            input_table=shipped.input_table,
            detector=shipped.code(),
        )
    sizes = firmware.sizes
    bank = bank_of(shipped.detector, plan)
    parts = {} if sizes is None else sizes.to_json()
    write_json(work / "size.json", {**parts, **({"bank": bank} if parts and bank else {})})
    drop_work(work)
    return Made(
        recipe,
        board,
        dataset,
        data_sha,
        digests["tflm_sha256"],
        region,
        shipped,
        plan,
        calibrated,
        evaluation,
        evaluation_float,
        agreements,
        images,
        reference,
        firmware,
        counts,
        compiled,
        fitted.weighed,
        tuple(said),
    )


def build_and_run(
    shipped: Shipped,
    images: NDArray[np.uint8],
    progress: Progress,
    board: Board,
    work: Path,
    plan: Plan,
    generated: Path,
    library: Library | None = None,
) -> Built:
    """Builds a firmware and runs it on the images, where its tools and its board are here.

    Args:
        shipped: the model.
        images: uint8 (N, H, W, 3); the instructions of the first are counted.
        progress: told each step.
        board: what it is for.
        work: where `firmware` and `firmware.elf` go.
        plan: of the generated code.
        generated: folder of the generated code.
        library: of another runtime.
    """
    runtime = "" if library is None else " on TensorFlow Lite Micro"
    progress.step(f"Build the firmware{runtime} for {board.id}")
    firmware = build_firmware(work, board, generated, library)
    elf, is_emulated = firmware.elf, board.emulator is not None
    run: Run | None = None
    if elf is not None and is_run_here(board):
        progress.step(f"Run on the {'emulated ' if is_emulated else ''}{board.core}")
        run = run_on_emulator(elf, board, shipped.program, images, detector=True)
    counts: Counts | None = None
    if elf is not None and is_emulated:
        with ThreadPoolExecutor(1) as pool:
            painted = pool.submit(firmware.painted, board, images[0])
            counts = count(elf, board, images[0])
        firmware = painted.result()
    return Built(plan, firmware, run, counts)


@dataclass(frozen=True, eq=False)
class _Expected:
    """What images must give, from the numpy reference and from the TFLM interpreter.

    Both are slow and depend on nothing but code, model and images, so they are remembered; what
    they are compared with runs anew in each build, and so does everything in `verify`.

    Attributes:
        shipped: the model.
        digest: its own.
    """

    shipped: Shipped
    digest: str

    def reference(self, images: NDArray[np.uint8]) -> Run:
        """Of the numpy reference."""
        return remembered("reference", self._key(images), partial(self.shipped.reference, images))

    def oracle(self, images: NDArray[np.uint8]) -> Run:
        """Of the interpreter, which has the taps alone."""
        model, key = self.shipped, sha256_text(self._key(images), version("tflite-micro"))
        inputs = to_int8(model.input_table, images)
        return remembered("tflm", key, partial(tflm_run, model.tflite, model.program, inputs))

    def _key(self, images: NDArray[np.uint8]) -> str:
        digest = hashlib.sha256(images.tobytes()).hexdigest()
        return sha256_text(code_digest(), self.digest, digest)


def by_search(made: Made) -> dict[str, int]:
    """Instructions of a memory bank's search: patches, look-up tables, and the scan of its rows."""
    counts = made.counts
    if counts is None or counts.total is None or bank_of(made.shipped.detector, made.plan) is None:
        return {}
    parts = search_parts(counts.by_function)
    scan = by_part(made.plan, counts)["detector"] - sum(parts.values())
    return {**parts, "scan": scan}


def _facts(made: Made) -> dict[str, Any]:
    """What the manifest says beside the files' digests."""
    detector, board = made.shipped.detector, made.board
    recipe = canonical_json(
        made.recipe,
        data_sha256=made.data_sha,
        roi_sha256=made.region.sha256,
        tflm_sha256=made.tflm_sha,
    )
    return {
        "board": board.id,
        "abi": ABI,
        "plan": explain_plan(made.plan, {} if made.counts is None else made.counts.by_step),
        "recipe": json.loads(recipe),
        "seed": made.recipe.seed,
        "input": made.shipped.input_size,
        "detector": {"name": detector.name, "title": detector.title},
        "cells": {"inside": int(detector.inside.sum()), "all": detector.inside.size},
        "weighed": weighed_json(made.weighed),
        "threshold": asdict(made.shipped.threshold),
        "data": {"name": made.dataset.name, "sha256": made.data_sha},
        "tools": tool_versions(board),
        **proved(made.firmware.sizes),
        "runtimes": runtimes_json(made),
    }


def runtimes_json(made: Made) -> list[dict[str, Any]]:
    """What the model takes on its own runtime and, beside it, on vadgen's; [] with that alone."""
    if made.compiled is None:
        return []
    own, other = made.compiled, made.recipe.runtime
    return [
        runtime_json("vadgen", own.plan, own.firmware, own.counts),
        runtime_json(other, made.plan, made.firmware, made.counts),
    ]


def _metrics(made: Made) -> dict[str, dict[str, float | None]] | None:
    """Figures of the float and the shipped model, on labelled pictures."""
    if made.evaluation is None or made.evaluation_float is None:
        return None
    return {
        "float": metrics_json(made.evaluation_float.metrics),
        "int8": metrics_json(made.evaluation.metrics),
    }


def _result(made: Made, target: Path, seconds: float) -> BuildResult:
    sizes, counts = made.firmware.sizes, made.counts
    threshold, missing = made.shipped.threshold, made.firmware.missing
    agreements = made.agreements
    return BuildResult(
        made.board.id,
        shown(target),
        made.dataset.name,
        made.recipe.backbone,
        made.recipe.detector,
        made.shipped.detector.title,
        made.shipped.input_size,
        None if sizes is None else sizes.flash_bytes,
        made.plan.arena_bytes + made.shipped.program.values[0].row_bytes,
        len(made.shipped.tflite),
        None if counts is None else counts.total,
        {} if counts is None or counts.total is None else by_part(made.plan, counts),
        by_search(made),
        {} if counts is None else by_label(made.plan, counts),
        {} if counts is None else counts.by_function,
        {name: agreements[name].holds if name in agreements else None for name in RUNNERS},
        {name: agreement.to_json() for name, agreement in agreements.items()},
        len(made.images),
        made.recipe.runtime,
        runtimes_json(made),
        _metrics(made),
        threshold.value,
        threshold.alpha,
        threshold.n,
        shown(target / "report.html"),
        sizes,
        None if missing is None else needs_tool(missing, made.board, target),
        weighed_json(made.weighed),
        made.notes,
        round(seconds, 1),
    )
