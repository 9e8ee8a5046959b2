"""Many small models in one program, so that compiling and starting it is paid for once."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vadgen import paths
from vadgen.build import compiler
from vadgen.build.vendor import VENDORS
from vadgen.emit.model import write_model
from vadgen.lower import Program, lower
from vadgen.model import Graph
from vadgen.plan.planner import make_plan
from vadgen.quant.oracle import run_tflm
from vadgen.quant.tflite_writer import write_tflite
from vadgen.ref.program import run_program

PORTABLE, HOST = ("portable",), ("host", "portable")
_DRIVER = Path(__file__).parent / "parity" / "many.c"


def drawn_images(program: Program, count: int = 2) -> NDArray[np.int8]:
    first = program.values[0]
    shape = (count, first.rows, first.width, first.channels)
    return np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)


def expected(graph: Graph, program: Program, images: NDArray[np.int8]) -> list[NDArray[np.int8]]:
    """One (N, rows, width, channels) an output, from the reference, which equals TFLite Micro."""
    runs = [run_program(program, x) for x in images]
    outputs = [np.stack([run[o] for run in runs]) for o in program.outputs]
    oracle = run_tflm(write_tflite(graph), images)
    for i, output in enumerate(outputs):
        theirs = np.stack([run[i] for run in oracle])
        np.testing.assert_array_equal(output.reshape(-1), theirs.reshape(-1))
    return outputs


def check(
    graphs: Sequence[Graph],
    folder: Path,
    sets: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]],
) -> None:
    """Compares C on this computer with the reference, and the reference with TFLite Micro.

    Args:
        graphs: small models.
        folder: for everything that is made.
        sets: kernel sets and flags of the compiler, by name.

    Raises:
        AssertionError: other bytes; or a sanitizer ended the program.
    """
    programs = [lower(g) for g in graphs]
    images = [drawn_images(p) for p in programs]
    wanted = [expected(*three) for three in zip(graphs, programs, images, strict=True)]
    for name, (kernels, flags) in sets.items():
        (folder / name).mkdir()
        results = run_models(programs, images, kernels, flags, folder / name)
        for i, (want, got) in enumerate(zip(wanted, results, strict=True)):
            for output, (w, g) in enumerate(zip(want, got, strict=True)):
                np.testing.assert_array_equal(g, w, f"{name}: graph {i}, output {output}")


def run_models(
    programs: Sequence[Program],
    images: Sequence[NDArray[np.int8]],
    kernels: tuple[str, ...],
    flags: Sequence[str],
    folder: Path,
) -> list[list[NDArray[np.int8]]]:
    """Compiles the models with some kernel sets and runs each on its own images.

    The kernels are compiled with `flags`; the code that calls them without optimization, as there
    is much of it and it computes nothing.

    Args:
        programs: the models.
        images: int8 (N, H, W, C) for each model, N the same for all.
        kernels: kernel sets in order of preference.
        flags: of the compiler; sanitizers end the program at the first fault.
        folder: for everything that is made.

    Returns:
        One int8 (N, rows, width, channels) an output, for each model.
    """
    count = len(images[0])
    names = [f"m{i:03d}" for i in range(len(programs))]
    for name, program in zip(names, programs, strict=True):
        write_model(folder, make_plan(program, kernels), name, prefix=name)
    includes = "".join(f'#include "{name}.h"\n' for name in names)
    listed = " ".join(f"X({name}, {name.upper()})" for name in names)
    header = f"{includes}#define N_IMAGES {count}\n#define MODELS(X) {listed}\n"
    (folder / "models.h").write_text(header)
    lib = paths.firmware() / "lib"
    rooms = [lib / "vad_core/src", *(lib / "vad_kernels/src" / k for k in kernels)]
    public = [lib / "vad_core/include", lib / "vad_kernels/include"]
    sources = [c for room in rooms for c in sorted(room.glob("*.c"))]
    objects = compiler.library_objects(sources, public, flags)
    archives = []
    for vendor in (v for v in VENDORS if v.kernels in kernels):
        public = [*public, lib / vendor.folder / "include"]
        sources = sorted((lib / vendor.folder / "src").glob("*.c"))
        theirs = [*flags, *vendor.defines]
        objects += compiler.library_objects(sources, [*public, vendor.find() / "include"], theirs)
        archives.append(vendor.find() / f"lib{vendor.library}.a")
    own = [*(folder / f"{name}.c" for name in names), _DRIVER]
    objects += compiler.compile_sources(own, [folder, *public], [*flags, "-O0", "-g0"], folder)
    objects += archives
    driver = compiler.link(objects, flags, folder / "many")
    request = b"".join(np.ascontiguousarray(x).tobytes() for x in images)
    done = subprocess.run([str(driver)], input=request, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return split(programs, count, np.frombuffer(done.stdout, np.int8))


def split(
    programs: Sequence[Program], count: int, flat: NDArray[np.int8]
) -> list[list[NDArray[np.int8]]]:
    """What a driver wrote, by model and output: int8 (count, rows, width, channels)."""
    results = []
    for program in programs:
        values = [program.values[i] for i in program.outputs]
        sizes = [v.total_bytes for v in values]
        mine, flat = np.split(flat, [count * sum(sizes)])
        parts = np.split(mine.reshape(count, -1), np.cumsum(sizes)[:-1], axis=1)
        results.append(
            [
                p.reshape(count, v.rows, v.width, v.channels)
                for p, v in zip(parts, values, strict=True)
            ]
        )
    assert flat.size == 0, "the driver wrote more than the models have"
    return results
