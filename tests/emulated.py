"""Many small models in one firmware, so that building and starting it is paid for once a board."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from many import split
from numpy.typing import NDArray

from vadgen.board import Board
from vadgen.build.emulator import qemu_command, run_in
from vadgen.build.platformio import build_project, create_project
from vadgen.emit.model import write_model
from vadgen.lower import Program, lower
from vadgen.model import Graph
from vadgen.plan.planner import Plan, make_plan
from vadgen.ref.program import run_program

_DRIVER = Path(__file__).parent / "firmware" / "many" / "main.c"
_SECONDS = 600.0


def drawn_images(program: Program, seed: int) -> NDArray[np.int8]:
    """Noise, and an image of the extremes alone, which saturate most."""
    first = program.values[0]
    rng = np.random.default_rng(seed)
    noise = rng.integers(-128, 128, (first.rows, first.width, first.channels))
    extremes = rng.integers(0, 2, noise.shape) * 255 - 128
    return np.stack([noise, extremes]).astype(np.int8)


def compare(board: Board, graphs: Sequence[Graph], folder: Path, **limits: int | None) -> None:
    """Compares an emulated core with the reference; `limits` are the plan's."""
    programs = [lower(graph) for graph in graphs]
    images = [drawn_images(p, i) for i, p in enumerate(programs)]
    plans = [make_plan(p, board.kernels, **limits) for p in programs]
    results = run_plans(plans, images, board, folder)
    for i, (program, xs, got) in enumerate(zip(programs, images, results, strict=True)):
        for n, x in enumerate(xs):
            values = run_program(program, x)
            for output, outputs in zip(program.outputs, got, strict=True):
                where = f"graph {i}, image {n}, {program.layers[output - 1].label}"
                np.testing.assert_array_equal(values[output], outputs[n], where)


def run_plans(
    plans: Sequence[Plan], images: Sequence[NDArray[np.int8]], board: Board, folder: Path
) -> list[list[NDArray[np.int8]]]:
    """Builds one firmware of all plans and runs each on its own images.

    Args:
        plans: of the models, for the board's kernels.
        images: int8 (N, H, W, C) for each model, N the same for all.
        board: a board with an emulator.
        folder: for the project.

    Returns:
        One int8 (N, rows, width, channels) an output, for each model.
    """
    programs = [plan.program for plan in plans]
    generated = folder / "generated"
    generated.mkdir(parents=True)
    names = [f"m{i:03d}" for i in range(len(plans))]
    for name, plan in zip(names, plans, strict=True):
        write_model(generated, plan, name, prefix=name)
    listed = " ".join(f"X({name}, {name.upper()})" for name in names)
    sizes = {
        "N_IMAGES": len(images[0]),
        "ARENA_BYTES": max(plan.arena_bytes for plan in plans),
        "OUTPUT_BYTES": max(_output_bytes(p) for p in programs),
        "ROW_BYTES": max(p.values[0].row_bytes for p in programs),
    }
    lines = [f'#include "{name}.h"' for name in names]
    lines += [f"#define {name} {size}" for name, size in sizes.items()]
    lines.append(f"#define MODELS(X) {listed}\n")
    (generated / "models.h").write_text("\n".join(lines))
    project = create_project(folder, board, generated)
    shutil.copy(_DRIVER, project / "src" / "main.c")
    command = qemu_command(build_project(project, board), board)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        request = b"".join(np.ascontiguousarray(x).tobytes() for x in images)
        (work / "request.bin").write_bytes(request)
        run_in(work, command, f"the models on {board.id}", _SECONDS)
        response = np.frombuffer((work / "response.bin").read_bytes(), np.int8)
    return split(programs, len(images[0]), response)


def _output_bytes(program: Program) -> int:
    return sum(program.values[i].total_bytes for i in program.outputs)
