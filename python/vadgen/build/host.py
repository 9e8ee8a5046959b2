"""The generated C compiled for this computer: a shared library, run over all cores."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vadgen import paths
from vadgen.build.tools import find_program
from vadgen.errors import VadgenError
from vadgen.lower import Program

KERNELS = ("host", "portable")

_WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror")
_FAST = ("-O3", "-march=native", "-fno-math-errno")


@dataclass(frozen=True)
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
    flags: Sequence[str] = _FAST,
) -> Path:
    """Compiles `generated` with the portable libraries into a shared library.

    Raises:
        VadgenError: TOOL_MISSING without a C compiler; the compiler's first error otherwise.
    """
    command = [
        *(
            str(find_program("gcc", "gcc")),
            *_WARNINGS,
            *flags,
            "-fPIC",
            "-shared",
            "-o",
            str(library),
        ),
        *host_sources(generated, kernels),
        str(paths.firmware() / "host" / "vad_host.c"),
    ]
    run_compiler(command)
    return library


def host_sources(generated: Path, kernels: Sequence[str]) -> list[str]:
    """Include flags and C files of a model with its libraries."""
    lib = paths.firmware() / "lib"
    includes = [f"-I{generated}"]
    sources = sorted(generated.glob("*.c"))
    libraries = ["vad_core", "vad_kernels"]
    if any(generated.glob("vad_*_tables.h")):
        libraries.append("vad_detect")
    for name in libraries:
        includes.append(f"-I{lib / name / 'include'}")
        folders = (
            [lib / name / "src" / k for k in kernels]
            if name == "vad_kernels"
            else [lib / name / "src"]
        )
        for folder in folders:
            sources += sorted(folder.glob("*.c"))
    return [*includes, *map(str, sources)]


def run_compiler(command: Sequence[str]) -> None:
    """Runs the C compiler; its first error line becomes the message."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line]
        first = (lines or done.stderr.splitlines() or ["no message"])[0]
        raise VadgenError(
            f"the host compiler refused the generated C: {first}",
            "this is a defect of vadgen; please report it with the model",
        )


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
        self._lib = ctypes.CDLL(str(library.resolve()))
        self._lib.vad_host_arena_bytes.restype = ctypes.c_size_t
        self._arena_bytes = int(self._lib.vad_host_arena_bytes())
        self._shapes = [
            (v.rows, v.width, v.channels) for v in (program.values[i] for i in program.outputs)
        ]
        first = program.values[0]
        self._image_bytes = first.total_bytes
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
            threads: worker threads, all cores by default.
        """
        count = len(images)
        flat = np.ascontiguousarray(images).reshape(count, -1).view(np.uint8)
        assert flat.shape[1] == self._image_bytes, (images.shape, self._image_bytes)
        sizes = [int(np.prod(s)) for s in self._shapes]
        outputs = np.empty((count, sum(sizes)), np.int8) if want_outputs else None
        rows, cols = self._cell_shape or (0, 0)
        cells = np.zeros((count, rows * cols), np.uint32)
        answers = np.zeros((count, 3), np.uint32)
        workers = max(1, min(threads or os.cpu_count() or 1, count))

        def work(worker: int) -> None:
            arena = np.empty(self._arena_bytes + 64, np.uint8)
            base = arena.ctypes.data + (-arena.ctypes.data) % 64
            for i in range(worker, count, workers):
                status = self._lib.vad_host_run(
                    ctypes.c_void_p(base),
                    ctypes.c_void_p(flat[i].ctypes.data),
                    ctypes.c_void_p(None if outputs is None else outputs[i].ctypes.data),
                    ctypes.c_void_p(cells[i].ctypes.data),
                    ctypes.c_void_p(answers[i].ctypes.data),
                )
                assert status == 0, status

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, range(workers)))
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
