"""The generated C compiled for this computer: a shared library run over all processors, a program.

A library is for features of many images; the program is the firmware itself, `src/main.c` on the
host's port, and can carry the compiler's sanitizers, which Python cannot load.
"""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vadgen import paths
from vadgen.build import compiler
from vadgen.lower import Program

KERNELS = ("host", "portable")


@dataclass(frozen=True, eq=False)
class HostResult:
    """What the compiled model gives for a batch of N images.

    Attributes:
        outputs: one int8 (N, H, W, C) array an output, or () when not asked for.
        cells: uint32 (N, rows, cols), or None without a detector.
        scores: uint32 (N,), or None without a detector.
        decisions: bool (N,), or None without a detector.
    """

    outputs: tuple[NDArray[np.int8], ...]
    cells: NDArray[np.uint32] | None
    scores: NDArray[np.uint32] | None
    decisions: NDArray[np.bool_] | None


def compile_host(
    generated: Path,
    library: Path,
    kernels: Sequence[str] = KERNELS,
    flags: Sequence[str] = compiler.FAST,
) -> Path:
    """Compiles a generated model into a shared library for `HostModel`.

    Args:
        generated: folder of the generated C, prefix `vad_model`.
        library: the file to write.
        kernels: the kernel sets that the model was planned for.
        flags: of the compiler, with `-fPIC`.

    Raises:
        VadgenError: TOOL_MISSING without a C compiler; the compiler's first error otherwise.
    """
    glue = [paths.firmware() / "host" / "vad_host.c"]
    return _build(generated, glue, (), library, kernels, flags, ("-shared",))


def compile_host_exe(
    generated: Path,
    program: Path,
    kernels: Sequence[str] = KERNELS,
    flags: Sequence[str] = compiler.SANITIZED,
) -> Path:
    """Compiles a generated model into the firmware's program for `emulator.run_host`.

    By default with AddressSanitizer and UndefinedBehaviorSanitizer, which stop at the first fault.

    Args:
        generated: folder of the generated C, prefix `vad_model`.
        program: the file to write.
        kernels: the kernel sets that the model was planned for.
        flags: of the compiler.

    Raises:
        VadgenError: as `compile_host`.
    """
    main = [paths.firmware() / "src" / "main.c"]
    port = ("vad_link", "vad_port", "vad_port/host")
    return _build(generated, main, port, program, kernels, flags, ())


def _build(
    generated: Path,
    glue: Sequence[Path],
    port: Sequence[str],
    target: Path,
    kernels: Sequence[str],
    flags: Sequence[str],
    link_flags: Sequence[str],
) -> Path:
    """Glue is what includes `vad_model.h`; libraries never include a generated header."""
    rooms = ["vad_core", *(f"vad_kernels/{name}" for name in kernels), *port]
    if any(generated.glob("vad_*_tables.h")):
        rooms.append("vad_detect")
    lib = paths.firmware() / "lib"
    sources: list[Path] = []
    includes: list[Path] = []
    for room in rooms:
        library, _, part = room.partition("/")
        sources += sorted((lib / library / "src" / part).glob("*.c"))
        if lib / library / "include" not in includes:
            includes.append(lib / library / "include")
    objects = compiler.library_objects(sources, includes, flags)
    with tempfile.TemporaryDirectory(prefix="vadgen-") as name:
        own = [*sorted(generated.glob("*.c")), *glue]
        objects += compiler.compile_sources(own, [generated, *includes], flags, Path(name))
        return compiler.link(objects, [*flags, *link_flags], target)


class HostModel:
    """A loaded shared library of one model.

    Args:
        library: made by `compile_host`.
        program: the integer layers, for the outputs' shapes.
        cell_shape: (rows, cols) of the detector's scores, or None without a detector.
    """

    def __init__(
        self, library: Path, program: Program, cell_shape: tuple[int, int] | None = None
    ) -> None:
        lib = _load(library)
        lib.vad_host_arena_bytes.restype = ctypes.c_size_t
        self._arena_bytes = int(lib.vad_host_arena_bytes())
        self._run = lib.vad_host_run
        self._run.argtypes = [ctypes.c_void_p] * 5
        self._shapes = program.output_shapes
        self._image_bytes = program.values[0].total_bytes
        self._cell_shape = cell_shape

    def run(
        self,
        images: NDArray[np.uint8] | NDArray[np.int8],
        want_outputs: bool = True,
        threads: int | None = None,
    ) -> HostResult:
        """Runs all images.

        Args:
            images: (N, H, W, C), uint8 RGB for a detector build, int8 for a bare network.
            want_outputs: whether to keep the network's outputs.
            threads: worker threads, one a processor by default.
        """
        count = len(images)
        flat = np.ascontiguousarray(images).reshape(count, self._image_bytes).view(np.uint8)
        sizes = [int(np.prod(s)) for s in self._shapes]
        outputs = np.empty((count, sum(sizes)), np.int8) if want_outputs else None
        rows, cols = self._cell_shape or (0, 0)
        cells = np.zeros((count, rows * cols), np.uint32)
        answers = np.zeros((count, 3), np.uint32)
        left = iter(range(count))  # shared: the interpreter hands each number to one thread

        def work() -> None:
            arena = np.empty(self._arena_bytes + 64, np.uint8)
            base = arena.ctypes.data + (-arena.ctypes.data) % 64
            for i in left:
                status = self._run(
                    base,
                    _row(flat, i),
                    None if outputs is None else _row(outputs, i),
                    _row(cells, i),
                    _row(answers, i),
                )
                assert status == 0, status

        workers = max(1, min(threads or compiler.processors(), count))
        with ThreadPoolExecutor(workers) as pool:
            try:
                for done in as_completed([pool.submit(work) for _ in range(workers)]):
                    done.result()
            finally:
                for _ in left:  # when interrupted: nothing remains to be done
                    pass
        split: tuple[NDArray[np.int8], ...] = ()
        if outputs is not None:
            ends = np.cumsum(sizes)
            split = tuple(
                outputs[:, e - s : e].reshape(count, *shape)
                for s, e, shape in zip(sizes, ends.tolist(), self._shapes, strict=True)
            )
        if self._cell_shape is None:
            return HostResult(split, None, None, None)
        return HostResult(
            split, cells.reshape(count, rows, cols), answers[:, 0], answers[:, 2].astype(np.bool_)
        )


def _load(library: Path) -> ctypes.CDLL:
    """Loads the file as it is now; by its own name the loader would give an earlier one again."""
    with tempfile.TemporaryDirectory(prefix="vadgen-") as name:
        alias = Path(name) / library.name
        alias.symlink_to(library.resolve())
        return ctypes.CDLL(str(alias))


def _row(array: NDArray[np.generic], index: int) -> int:
    return int(array.ctypes.data) + index * array.strides[0]
