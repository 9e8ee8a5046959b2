"""How the memory of a fit grows with the number of pictures: it should not.

    python tools/study_memory.py [--counts 1000,10000] [--methods padim,padim_diagonal,patchcore]

Synthetic pictures go through a real network's stem (`tiny`, random weights, 64 pixels) as they are
needed, so that nothing but the fit itself could keep them. Each fit runs in a process of its own;
told are the bytes that it added to the process at its height, and its processor seconds.
PatchCore's selection fills the memory that it is given, 512 MiB, and then reduces it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vadgen.backbones import load_backbone
from vadgen.backbones.network import forward
from vadgen.benchmark.guard import rank
from vadgen.benchmark.memory import peak_memory
from vadgen.benchmark.methods import methods
from vadgen.benchmark.methods.method import Pictures
from vadgen.progress import SilentProgress
from vadgen.units import show_bytes

SIDE = 64


def pictures(count: int) -> Pictures:
    """Synthetic pictures: each drawn from its own number whenever it is read."""
    network = load_backbone("tiny", weights=Path("random"))

    def read_images(indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        ribs = np.add.outer(np.arange(SIDE), np.arange(SIDE)) % 16 * 8 + 60
        noise = [np.random.default_rng(i).integers(-20, 20, (SIDE, SIDE, 3)) for i in indices]
        return (ribs[..., None] + np.stack(noise)).astype(np.uint8)

    def read_taps(indices: NDArray[np.int64]) -> tuple[NDArray[np.float32], ...]:
        return tuple(forward(network, read_images(indices)))

    return Pictures(network, SIDE, np.arange(count), read_images, read_taps)


def measure(name: str, count: int) -> tuple[int | None, float]:
    """Bytes added at the height of a fit, and its seconds."""
    train = pictures(count)
    train.take(np.arange(8)).taps()  # what torch allocates once
    with peak_memory() as peak:
        started = time.process_time()
        if name == "guard":
            rank(train, 0)
        else:
            methods()[name].fit(train, 0, SilentProgress())
        return peak(), time.process_time() - started


def main() -> None:
    """Prints a table: a line a method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", default="1000,10000")
    parser.add_argument("--methods", default="padim_diagonal,padim,patchcore,guard")
    args = parser.parse_args()
    counts = [int(n) for n in args.counts.split(",")]
    print(f"{'fit':<16}" + "".join(f"{n:>14,} pictures" for n in counts))
    spawn = multiprocessing.get_context("spawn")
    for name in args.methods.split(","):
        cells = []
        for count in counts:
            with spawn.Pool(1) as pool:
                peak, seconds = pool.apply(measure, (name, count))
            told = "?" if peak is None else show_bytes(peak)
            cells.append(f"{told:>13} {seconds:>7.1f} s")
        print(f"{name:<16}" + " ".join(f"{cell:>22}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
