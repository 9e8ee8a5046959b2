"""PatchCore's search compiled alone for this computer, with counters of what it looks at."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vadgen import paths
from vadgen.build import compiler
from vadgen.looked import Looked
from vadgen.sink import Sink

_FLAGS = (*compiler.FAST, "-DVAD_PQ_COUNTING=1")


def count_search(
    tables: str,
    sink: Sink,
    cell_shape: tuple[int, int],
    images: Sequence[NDArray[np.int8]],
) -> tuple[NDArray[np.uint32], Looked]:
    """Runs the detector as shipped over the taps of some images.

    Args:
        tables: text of `vad_patchcore_tables.h`.
        sink: the detector as the plan sees it.
        cell_shape: rows and columns of its scores.
        images: int8 (n, rows, cols, channels) a tap.

    Returns:
        cells uint32 (n, rows, cols), and the counts.

    Raises:
        VadgenError: no C compiler.
    """
    libraries = [paths.firmware() / "lib" / name for name in ("vad_core", "vad_detect")]
    includes = [library / "include" for library in libraries]
    sources = [c for library in libraries for c in sorted((library / "src").glob("*.c"))]
    objects = compiler.library_objects(sources, includes, _FLAGS)
    with tempfile.TemporaryDirectory(prefix="vadgen-") as name:
        folder = Path(name)
        (folder / "vad_patchcore_tables.h").write_text(tables, encoding="utf-8")
        glue = [paths.firmware() / "host" / "vad_search_host.c"]
        objects += compiler.compile_sources(glue, [folder, *includes], _FLAGS, folder)
        library = compiler.link(objects, [*_FLAGS, "-shared"], folder / "search.so")
        run = ctypes.CDLL(str(library)).vad_search_run
    run.restype = None
    count = len(images[0])
    cells = np.zeros((count, *cell_shape), np.uint32)
    counted = np.zeros(len(fields(Looked)), np.uint64)
    memory, scratch, maps = (
        np.zeros(-(-size // 4), np.uint32)
        for size in (sink.state_bytes, sink.scratch_bytes, sink.made_bytes)
    )
    for i in range(count):
        taps = [np.ascontiguousarray(tap[i]) for tap in images]
        run(
            (ctypes.c_void_p * len(taps))(*(tap.ctypes.data for tap in taps)),
            *(ctypes.c_void_p(buffer.ctypes.data) for buffer in (memory, scratch, maps, cells[i])),
            ctypes.c_void_p(counted.ctypes.data),
        )
    return cells, Looked(*counted.tolist())
