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
from vadgen.lower import Program
from vadgen.plan.planner import Plan

_DRIVER = Path(__file__).parent / "firmware" / "many" / "main.c"
_SECONDS = 600.0


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
