"""Many small models in one program, so that compiling and starting it is paid for once."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vadgen import paths
from vadgen.build import compiler
from vadgen.build.vendor import VENDORS
from vadgen.emit.model import write_model
from vadgen.lower import Program
from vadgen.plan.planner import make_plan

_DRIVER = Path(__file__).parent / "parity" / "many.c"


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
