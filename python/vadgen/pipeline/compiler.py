"""`compile`: a `.tflite` to C and firmware, its size, its instructions, its parity."""

from __future__ import annotations

import io
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadgen.board import Board, load_board, with_kernels
from vadgen.build.emulator import run as run_emulated
from vadgen.build.emulator import stack_high_water
from vadgen.build.flashing import keep_images
from vadgen.build.host import KERNELS, HostModel, compile_host
from vadgen.build.icount import Counts, count
from vadgen.build.platformio import build_project, create_project
from vadgen.build.size import Sizes, check_budget, measure
from vadgen.build.tflm import Library
from vadgen.build.tools import tool_versions
from vadgen.emit.model import ABI, write_model
from vadgen.errors import Exit, VadgenError
from vadgen.lower import Program, lower
from vadgen.pipeline.budget import limited, plan_for, sections
from vadgen.pipeline.identity import make_identity
from vadgen.pipeline.manifest import sha256_file, write_json, write_manifest
from vadgen.pipeline.parity import Agreement, Run, compare, from_host, from_responses
from vadgen.pipeline.staging import shown, staged
from vadgen.plan.explain import explain_plan
from vadgen.plan.planner import Plan, make_plan
from vadgen.progress import Progress
from vadgen.quant.oracle import run_tflm
from vadgen.quant.tflite_reader import read_tflite
from vadgen.ref.program import run_program
from vadgen.sink import Sink

PARITY_IMAGES = 8
PORTABLE = ("portable",)
START = "start of an image"
"""What comes before the first operator."""


@dataclass(frozen=True)
class CompileResult:
    """What `compile` prints; see the command line's documentation for each key."""

    board: str
    model: str
    out: str
    flash_bytes: int | None
    ram_bytes: int
    io_bytes: int
    model_bytes: int
    macs: int
    instructions: int | None
    instructions_by: Mapping[str, int]
    instructions_by_function: Mapping[str, int]
    parity: Mapping[str, bool | None]
    parity_images: int
    runtimes: list[dict[str, Any]]
    sizes: Sizes | None
    explain: Mapping[str, Any] | None
    needs_tool: Mapping[str, str] | None
    notes: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As `compile --json` prints it."""
        sizes = {} if self.sizes is None else self.sizes.to_json()
        own = {k: v for k, v in vars(self).items() if k not in ("sizes", "notes")}
        return {**sizes, **own, "notes": list(self.notes)}


@dataclass(frozen=True, eq=False)
class Firmware:
    """A firmware project and, where its tools are here, what came of building it."""

    elf: Path | None
    sizes: Sizes | None
    missing: VadgenError | None

    def painted(self, board: Board, image: NDArray[Any]) -> Firmware:
        """The same with the stack that an inference on the emulator used."""
        if self.elf is None or self.sizes is None or self.sizes.stack is None:
            return self
        used = stack_high_water(self.elf, board, image)
        stack = replace(self.sizes.stack, painted=used)
        return replace(self, sizes=replace(self.sizes, stack=stack))


def compile_model(
    tflite: Path,
    board_id: str,
    out: Path | None,
    progress: Progress,
    explain: bool = False,
    kernels: str | None = None,
    flash_budget: int | None = None,
    ram_budget: int | None = None,
    runtime: str = "vadgen",
    tflm: Path | None = None,
) -> CompileResult:
    """Compiles a network for a board and checks it against the TFLM interpreter.

    Args:
        tflite: the network.
        board_id: a board's name.
        out: where to write; None is a folder in `build`.
        progress: told of each step.
        explain: whether the result holds the plan.
        kernels: as of a recipe.
        flash_budget: as of a recipe.
        ram_budget: as of a recipe.
        runtime: "tflm" measures the same network on TensorFlow Lite Micro, too.
        tflm: as of a recipe; what `runtime` then needs.

    Raises:
        VadgenError: the model is not supported, does not fit, or a tool is missing; PARITY if
            TensorFlow Lite Micro gives other bytes.
    """
    started = time.monotonic()
    from vadgen.pipeline.interpreted import Interpreter, open_library  # which builds as we do

    board = limited(with_kernels(load_board(board_id), kernels), flash_budget, ram_budget)
    library = open_library(runtime, tflm, board)
    if runtime == "tflm" and library is None:
        raise VadgenError(
            f"the network is not run on {board.id} here", "--runtime tflm is for boards that are"
        )
    data = _read(tflite)
    program = lower(read_tflite(data, tflite.name))
    target = out or Path("build") / f"{tflite.stem}-{board.id}"
    with staged(target) as work:
        progress.step("Plan rows and memory")
        plan = plan_for(program, board, fills=ram_budget is not None, spares=flash_budget is None)
        shutil.copyfile(tflite, work / "model.tflite")
        identity = make_identity(
            work, board, program, lambda x: reference_run(program, x.view(np.int8))
        )
        generated = write_generated(
            work, plan, tflite.name, identity=identity, sections=sections(plan, board)
        )
        images = random_inputs(program)
        progress.step("Run the TFLM interpreter and the numpy reference")
        oracle = tflm_run(data, program, images)
        reference = reference_run(program, images)
        if not compare(oracle, reference).holds:
            raise VadgenError(
                "the numpy reference and the TFLM interpreter give different bytes",
                "please report it with the model",
                Exit.PARITY,
            )
        progress.step("Compile and run on this computer")
        host = compare(reference, run_on_host(program, images))
        write_vectors(work, images, reference)
        progress.step(f"Build the firmware for {board.id}")
        firmware = build_firmware(work, board, generated)
        emulated: Agreement | None = None
        counts: Counts | None = None
        notes: list[str] = []
        if firmware.elf is not None and board.emulator is not None:
            progress.step(f"Run on the emulated {board.core}")
            emulated = compare(
                reference, run_on_emulator(firmware.elf, board, program, images, detector=False)
            )
            counts = count(firmware.elf, board, images[0])
            firmware = firmware.painted(board, images[0])
            if counts.total is None:
                notes.append(f"instructions not counted: {counts.reason}")
        elif firmware.elf is not None and board.port == "host":
            progress.step("Run the host's program")
            run = run_on_emulator(firmware.elf, board, program, images, detector=False)
            host = host.and_also(compare(reference, run))
        if firmware.missing is not None:
            progress.step("Check the portable C with this computer's compiler")
            check_portable(program, images, reference)
        runtimes: list[dict[str, Any]] = []
        if library is not None:
            progress.step(f"Build and run TensorFlow Lite Micro for {board.id}")
            other = Interpreter(replace(board, kernels=PORTABLE), library, data)
            runtimes = [
                runtime_json("vadgen", plan, firmware, counts),
                other.measured(images, reference),
            ]
        sizes = firmware.sizes
        write_json(work / "size.json", {} if sizes is None else sizes.to_json())
        table = explain_plan(plan, {} if counts is None else counts.by_step)
        write_manifest(
            work,
            "compile",
            {
                "board": board.id,
                "abi": ABI,
                "plan": table,
                "model": {"name": tflite.name, "sha256": sha256_file(tflite)},
                "tools": tool_versions(board),
                **proved(sizes),
            },
        )
        drop_work(work)
        missing = firmware.missing
        return CompileResult(
            board.id,
            tflite.name,
            shown(target),
            None if sizes is None else sizes.flash_bytes,
            plan.arena_bytes,
            io_bytes(plan),
            len(data),
            program.macs,
            None if counts is None else counts.total,
            {} if counts is None else by_label(plan, counts),
            {} if counts is None else counts.by_function,
            {"host": host.holds, "emulator": None if emulated is None else emulated.holds},
            len(images),
            runtimes,
            sizes,
            table if explain else None,
            None if missing is None else needs_tool(missing, board, target),
            tuple(notes),
            round(time.monotonic() - started, 1),
        )


# --- steps that `build` shares --------------------------------------------------------------------


def write_generated(work: Path, plan: Plan, source: str, **options: Any) -> Path:
    """Writes the generated C into `work/generated`."""
    generated = work / "generated"
    generated.mkdir(exist_ok=True)
    write_model(generated, plan, source, **options)
    return generated


def random_inputs(program: Program, count: int = PARITY_IMAGES) -> NDArray[np.int8]:
    """Seeded int8 inputs: noise, and one each of the extremes, which saturate most."""
    v = program.values[0]
    rng = np.random.default_rng(0)
    images = rng.integers(-128, 128, (count, v.rows, v.width, v.channels)).astype(np.int8)
    images[0], images[1] = -128, 127
    return images


def tflm_run(tflite: bytes, program: Program, images: NDArray[np.int8]) -> Run:
    """The TFLM interpreter on int8 images."""
    graph = read_tflite(tflite)
    shape = graph.tensors[graph.inputs[0]].shape
    results = run_tflm(tflite, images.reshape(len(images), *shape[1:]))
    return Run(_stack(program, results))


def reference_run(program: Program, images: NDArray[np.int8]) -> Run:
    """The numpy kernels on int8 images."""
    results = []
    for image in images:
        values = run_program(program, image)
        results.append([values[i] for i in program.outputs])
    return Run(_stack(program, results))


def _stack(program: Program, results: Sequence[Sequence[NDArray[np.int8]]]) -> tuple[Any, ...]:
    shapes = enumerate(program.output_shapes)
    return tuple(np.stack([r[i].reshape(shape) for r in results]) for i, shape in shapes)


def run_on_host(
    program: Program,
    images: NDArray[Any],
    kernels: tuple[str, ...] = KERNELS,
    sink: Sink | None = None,
    cell_shape: tuple[int, int] | None = None,
    **options: Any,
) -> Run:
    """Plans, prints and compiles a model for this computer, and runs it.

    Args:
        program: the network.
        images: what it takes.
        kernels: kernel sets in order of preference.
        sink: the detector's; None without one.
        cell_shape: of the detector's scores.
        options: as for `write_generated`.
    """
    with tempfile.TemporaryDirectory(prefix="vadgen-") as name:
        folder = Path(name)
        write_model(folder, make_plan(program, kernels, sink), "the same model", **options)
        library = compile_host(folder, folder / "model.so", kernels)
        return from_host(HostModel(library, program, cell_shape).run(images))


def build_firmware(
    work: Path, board: Board, generated: Path, tflm: Library | None = None
) -> Firmware:
    """Writes the firmware project and builds it where the tools are here.

    Args:
        work: where `firmware` and `firmware.elf` go.
        board: what it is for.
        generated: folder of the generated code.
        tflm: as for `create_project`.

    Raises:
        VadgenError: it does not compile or does not fit the board.
    """
    project = create_project(work, board, generated, tflm)
    try:
        elf = build_project(project, board)
    except VadgenError as error:
        if error.code != Exit.TOOL_MISSING:
            raise
        return Firmware(None, None, error)
    keep_images(board, project, work)
    kept = work / "firmware.elf"
    shutil.copyfile(elf, kept)
    kept.chmod(0o755)
    sizes = measure(kept, board, elf.parent)
    check_budget(sizes, board)
    return Firmware(kept, sizes, None)


def check_portable(program: Program, images: NDArray[Any], reference: Run, **options: Any) -> None:
    """Compiles the model with the portable kernels alone and runs it on this computer.

    Says that the generated C and the libraries are sound where the firmware cannot be compiled.

    Args:
        program: the network.
        images: as `reference` was made from.
        reference: what must come out.
        options: as for `run_on_host`.

    Raises:
        VadgenError: it does not compile; PARITY if other bytes come out.
    """
    run = run_on_host(program, images, PORTABLE, **options)
    if not compare(reference, run).holds:
        raise VadgenError(
            "the portable C and the numpy reference give different bytes",
            "please report it with the recipe or the model",
            Exit.PARITY,
        )


def run_on_emulator(
    elf: Path, board: Board, program: Program, images: NDArray[Any], *, detector: bool
) -> Run:
    """The firmware on the board's emulator."""
    responses = run_emulated(elf, board, images, program.output_shapes, want_cells=detector)
    return from_responses(responses, detector)


def proved(sizes: Sizes | None) -> dict[str, Any]:
    """What the manifest says of heap and stack; nothing where the firmware was not compiled."""
    if sizes is None:
        return {}
    return {key: value for key, value in sizes.to_json().items() if key in ("heap", "stack")}


def drop_work(work: Path) -> None:
    """Removes what PlatformIO left: objects and absolute paths are no part of the output."""
    shutil.rmtree(work / "firmware" / ".pio", ignore_errors=True)


def write_vectors(work: Path, images: NDArray[Any], run: Run) -> None:
    """Stores inputs and expected outputs in `work/vectors`, which `verify` replays."""
    folder = work / "vectors"
    folder.mkdir(exist_ok=True)
    named = {"images": images, "cells": run.cells, "scores": run.scores, "decisions": run.decisions}
    named |= {f"tap_{i}": output for i, output in enumerate(run.outputs)}
    for name, array in named.items():
        if array is not None:
            data = io.BytesIO()  # numpy itself would not say why it cannot write
            np.save(data, array)
            (folder / f"{name}.npy").write_bytes(data.getvalue())


def read_vectors(out: Path) -> tuple[NDArray[Any], Run]:
    """Inputs and expected outputs as stored by `write_vectors`.

    Raises:
        VadgenError: they are missing or damaged.
    """
    folder = out / "vectors"
    try:
        images = np.load(folder / "images.npy")
        taps = [np.load(p) for p in sorted(folder.glob("tap_*.npy"))]
        rest = [
            np.load(p) if (p := folder / f"{name}.npy").is_file() else None
            for name in ("cells", "scores", "decisions")
        ]
    except (OSError, ValueError) as error:
        raise VadgenError(
            f"the stored vectors in {folder} cannot be read: {error}", "build again"
        ) from None
    return images, Run(tuple(taps), *rest)


def io_bytes(plan: Plan) -> int:
    """Bytes of an input or outputs that the plan keeps whole."""
    program = plan.program
    values = {0, *program.outputs}
    return sum(
        plan.rings[v].pitch * plan.rings[v].ring
        for v in values
        if plan.rings[v].ring == plan.rings[v].rows and plan.rings[v].rows > 1
    )


def by_label(plan: Plan, counts: Counts) -> dict[str, int]:
    """Instructions by operator, each with its share of the schedule; their sum is the total."""
    if counts.total is None:
        return {}
    labels = {node.index: node.label for node in plan.nodes}
    return {START: counts.before_steps, **{labels[i]: n for i, n in counts.by_step.items()}}


def by_part(plan: Plan, counts: Counts) -> dict[str, int]:
    """Instructions of the backbone and of the detector.

    What comes after the last step (the score) is the detector's; what comes before the first, the
    backbone's.
    """
    sinks = {node.index for node in plan.nodes if node.step is not None}
    detector = sum(n for i, n in counts.by_step.items() if i in sinks)
    return {"backbone": (counts.total or 0) - detector, "detector": detector}


def runtime_json(
    name: str, plan: Plan, firmware: Firmware, counts: Counts | None
) -> dict[str, Any]:
    """What a model takes on one runtime, to stand beside the same on another."""
    sizes, parts = firmware.sizes, dict[str, int]()
    if counts is not None and counts.total is not None:
        detector = by_part(plan, counts)["detector"]
        network = counts.total - detector - counts.before_steps
        parts = {"set-up": counts.before_steps, "network": network}
        parts |= {"detector": detector} if detector else {}
    return {
        "runtime": name,
        "flash_bytes": None if sizes is None else sizes.flash_bytes,
        "ram_bytes": None if sizes is None else sizes.ram_bytes,
        "arena_bytes": plan.rows_bytes,
        "instructions": sum(parts.values()) or None,
        "instructions_by": parts,
    }


def needs_tool(missing: VadgenError, board: Board, out: Path) -> dict[str, str]:
    """What is missing here, and the command that finishes the build.

    The in-project platform needs Debian packages, which can be installed here; a platform of
    PlatformIO's own is on some other machine.
    """
    command = f"pio run -d {shown(out / 'firmware')}"
    if board.is_in_project:
        return {
            "message": missing.message,
            "hint": f"{missing.hint}, then the same command again",
            "command": missing.hint,
        }
    return {
        "message": missing.message,
        "hint": f"finish on a machine that has it: {command}",
        "command": command,
    }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise VadgenError(
            f"{path} cannot be read: {error.strerror}", "name an int8 .tflite file"
        ) from None
