"""Draws random networks and compares C with numpy's reference and TensorFlow Lite Micro, by bytes.

    python tools/draw_graphs.py FIRST COUNT [--operators] [--core BOARD]

Of the seeds FIRST to FIRST + COUNT - 1: networks (tests/graphs.py; those of odd seeds draw sizes,
scales and zero points at their ends), or with --operators single operators (tests/operators.py).
Without --core on this computer, portable kernels under AddressSanitizer and UBSan, vectorized ones
as they are; with it on that board's emulator, against the reference. Every seed that differs is
named, with its first difference; the exit code then is 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

from emulated import compare  # noqa: E402
from graphs import random_graph  # noqa: E402
from many import HOST, PORTABLE, check  # noqa: E402
from operators import operator  # noqa: E402

from vadgen.board import load_board  # noqa: E402
from vadgen.build import compiler  # noqa: E402
from vadgen.build.tools import require_tools  # noqa: E402
from vadgen.model import Graph  # noqa: E402

BATCH = 50

Check = Callable[[Sequence[Graph], Path], None]


def on_host(graphs: Sequence[Graph], folder: Path) -> None:
    """Both kernel sets of this computer, against reference and interpreter."""
    sets = {"portable": (PORTABLE, compiler.SANITIZED), "host": (HOST, compiler.FAST)}
    check(graphs, folder, sets)


def failures(
    seeds: Sequence[int], draw: Callable[[int], Graph], compared: Check
) -> list[tuple[int, str]]:
    """Seeds that differ and how; a batch that differs is halved until they are found."""
    try:
        with tempfile.TemporaryDirectory(prefix="vadgen-") as folder:
            compared([draw(seed) for seed in seeds], Path(folder))
    except Exception as error:
        if len(seeds) == 1:
            told = [line.strip() for line in str(error).splitlines() if line.strip()]
            return [(seeds[0], f"{type(error).__name__}: " + " | ".join(told[:6]))]
        middle = len(seeds) // 2
        halves = (seeds[:middle], seeds[middle:])
        return [found for half in halves for found in failures(half, draw, compared)]
    return []


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--operators", action="store_true", help="single operators")
    parser.add_argument("--core", metavar="BOARD", help="an emulated board, as in qemu_m7")
    chosen = parser.parse_args()
    compared: Check = on_host
    if chosen.core:
        board = load_board(chosen.core)
        require_tools(board)
        compared = partial(compare, board)
    draw = operator if chosen.operators else random_graph
    started, n_failed = time.monotonic(), 0
    for first in range(chosen.first, chosen.first + chosen.count, BATCH):
        seeds = range(first, min(first + BATCH, chosen.first + chosen.count))
        for seed, told in failures(seeds, draw, compared):
            n_failed += 1
            print(f"seed {seed}: {told}", flush=True)
        seconds = time.monotonic() - started
        done = seeds[-1] + 1 - chosen.first
        print(f"{done} drawn, {n_failed} differ, {seconds:.0f} s", flush=True)
    raise SystemExit(1 if n_failed else 0)


if __name__ == "__main__":
    main()
