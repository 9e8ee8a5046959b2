"""Counts instructions, memory and flash of whole networks by board: benchmarks/kernels.csv.

    python tools/bench_kernels.py [GRAPH ...] [--board ID ...]

Networks are made from formulas (the same on every machine), and the .tflite files of development
data (VADGEN_SHARED, or ../shared beside the checkout) are added where they are. Rows of what was
not run stay as they are. Each change is printed: review it like one of a golden file.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

from cases import CaseBuilder, Draws  # noqa: E402

from vadgen.board import Board, load_board  # noqa: E402
from vadgen.build.emulator import run  # noqa: E402
from vadgen.build.icount import count  # noqa: E402
from vadgen.build.platformio import build_project, create_project  # noqa: E402
from vadgen.build.size import measure  # noqa: E402
from vadgen.build.tools import missing_error, missing_tools  # noqa: E402
from vadgen.emit.model import write_model  # noqa: E402
from vadgen.errors import Exit, VadgenError  # noqa: E402
from vadgen.lower import Program, lower  # noqa: E402
from vadgen.pipeline.budget import plan_for  # noqa: E402
from vadgen.plan.planner import Plan  # noqa: E402
from vadgen.quant.tflite_reader import read_tflite  # noqa: E402
from vadgen.ref.program import run_program  # noqa: E402

TABLE = ROOT / "benchmarks" / "kernels.csv"
SHARED = Path(os.environ.get("VADGEN_SHARED", ROOT.parent / "shared")) / "models"

# Boards and the kernel sets to measure on them; None: the board's own.
RUNS: tuple[tuple[str, tuple[str, ...] | None], ...] = (
    ("qemu_m7", None),
    ("qemu_m7", ("portable",)),
    ("qemu_m4", None),
    ("qemu_m33", None),
    ("qemu_m55", None),
    ("qemu_m3", None),
    ("qemu_rv32", None),
    ("qemu_lx106", None),
)

# Channels, repeats, stride and kernel of each stage; every block expands by 6.
MOBILENET_V2 = ((24, 2, 2, 3), (32, 3, 2, 3), (64, 1, 2, 3))
EFFICIENTNET_LITE0 = ((24, 2, 2, 3), (40, 2, 2, 5), (80, 3, 2, 3), (112, 1, 1, 5))
WIDE_WINDOWS = ((16, 2, 2, 7), (24, 2, 2, 7), (40, 2, 2, 7))
_RELU6_SCALE, _LINEAR_SCALE = 0.0234, 0.05


@dataclass(frozen=True)
class Row:
    """One measurement; bytes of the arena, and of flash with all code."""

    graph: str
    board: str
    kernels: str
    instructions: int
    arena_bytes: int
    flash_bytes: int

    @property
    def key(self) -> tuple[str, str, str]:
        """What was measured."""
        return self.graph, self.board, self.kernels


def inverted_residuals(
    stages: tuple[tuple[int, int, int, int], ...], width: float, size: int, stem: int
) -> Program:
    """A network of inverted residuals: stem, a block without expansion, the stages."""
    b = CaseBuilder(1, (1, size, size, 3), zero_point=-1, spread=3)

    def channels(count: int) -> int:
        made = max(8, int(count * width + 4) // 8 * 8)
        return made + 8 if made < 0.9 * count * width else made

    def relu6(x: int, made: int, kernel: int = 1, stride: int = 1) -> int:
        return b.conv(x, made, (kernel,) * 2, (stride,) * 2, "SAME", "RELU6", scale=_RELU6_SCALE)

    def depthwise(x: int, kernel: int, stride: int) -> int:
        return b.depthwise(x, (kernel,) * 2, (stride,) * 2, "SAME", "RELU6", scale=_RELU6_SCALE)

    x = depthwise(relu6(b.input, channels(stem), 3, 2), 3, 1)
    x = b.conv(x, channels(16), scale=_LINEAR_SCALE)
    for made, repeats, stride, kernel in stages:
        for i in range(repeats):
            expanded = relu6(x, 6 * b.shape(x)[3])
            y = depthwise(expanded, kernel, stride if i == 0 else 1)
            y = b.conv(y, channels(made), scale=_LINEAR_SCALE)
            x = b.add(x, y) if i else y
    return lower(b.graph(x))


def graphs() -> dict[str, Callable[[], Program]]:
    """Everything that can be measured here, by name."""
    made: dict[str, Callable[[], Program]] = {
        "mobilenet_v2 0.35 at 96": lambda: inverted_residuals(MOBILENET_V2, 0.35, 96, 32),
        "mobilenet_v2 1.0 at 224": lambda: inverted_residuals(MOBILENET_V2, 1.0, 224, 32),
        "efficientnet_lite0 at 96": lambda: inverted_residuals(EFFICIENTNET_LITE0, 1.0, 96, 32),
        "7x7 windows at 96": lambda: inverted_residuals(WIDE_WINDOWS, 1.0, 96, 16),
    }
    for path in sorted(SHARED.glob("*.tflite")):
        made[path.stem] = lambda path=path: lower(read_tflite(path.read_bytes()))
    return made


def image(program: Program) -> NDArray[np.int8]:
    """Noise."""
    first = program.values[0]
    return Draws(2).integers(-128, 128, (first.rows, first.width, first.channels)).astype(np.int8)


def measure_on(board: Board, name: str, program: Program, folder: Path) -> Row:
    """Builds, compares with the reference, counts."""
    plan = plan_for(program, board, spares=True)  # as `compile` does
    generated = folder / "generated"
    generated.mkdir(parents=True)
    write_model(generated, plan, name)
    elf = build_project(create_project(folder, board, generated), board)
    pixels = image(program)
    _compare(board, plan, elf, pixels)
    counts = count(elf, board, pixels)
    if counts.total is None:
        raise SystemExit(f"{board.id}: {counts.reason}")
    flash = measure(elf, board).flash_bytes
    return Row(name, board.id, "+".join(board.kernels), counts.total, plan.arena_bytes, flash)


def _compare(board: Board, plan: Plan, elf: Path, pixels: NDArray[np.int8]) -> None:
    program = plan.program
    values = [program.values[o] for o in program.outputs]
    shapes = [(v.rows, v.width, v.channels) for v in values]
    response = run(elf, board, pixels[None], shapes)[0]
    reference = run_program(program, pixels)
    for output, got in zip(program.outputs, response.outputs, strict=True):
        if not np.array_equal(reference[output], got):
            raise SystemExit(f"{board.id}: other bytes than the reference")


def read_table() -> dict[tuple[str, str, str], Row]:
    """The stored rows."""
    if not TABLE.exists():
        return {}
    with TABLE.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))[1:]
    rows = [Row(*line[:3], *map(int, line[3:])) for line in lines]
    return {row.key: row for row in rows}


def write_table(rows: Mapping[tuple[str, str, str], Row]) -> None:
    """All rows, sorted."""
    TABLE.parent.mkdir(exist_ok=True)
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([f.name for f in fields(Row)])
        writer.writerows(astuple(rows[key]) for key in sorted(rows))


def show(old: Row | None, new: Row) -> None:
    """One line a measurement, with what changed."""
    parts = []
    for name in ("instructions", "arena_bytes", "flash_bytes"):
        before, now = getattr(old, name, None), getattr(new, name)
        change = "" if before in (None, now) else f" (was {before:,})"
        parts.append(f"{now:>13,} {name.split('_')[0]}{change}")
    print(f"{new.graph:<26}{new.board:<10}{new.kernels:<14}" + "".join(parts), flush=True)


def main() -> None:
    """See the module."""
    known = graphs()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("graph", nargs="*", choices=[*known, []], help="all by default")
    parser.add_argument("--board", nargs="*", help="all by default")
    chosen = parser.parse_args()
    rows = read_table()
    for name in chosen.graph or known:
        program = known[name]()
        for board_id, kernels in RUNS:
            if chosen.board and board_id not in chosen.board:
                continue
            board = load_board(board_id)
            if missing := missing_tools(board):
                print(f"{name:<26}{board_id:<10}{missing_error(missing).message}")
                continue
            if kernels is not None:
                board = replace(board, kernels=kernels)
            try:
                with tempfile.TemporaryDirectory(prefix="vadgen-") as folder:
                    row = measure_on(board, name, program, Path(folder))
            except VadgenError as error:
                if error.code != Exit.DOES_NOT_FIT:
                    raise
                print(f"{name:<26}{board_id:<10}{error.message}")
                continue
            show(rows.get(row.key), row)
            rows[row.key] = row
            write_table(rows)


if __name__ == "__main__":
    main()
