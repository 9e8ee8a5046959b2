"""PatchCore's generated tables with the firmware's search, compiled for this computer."""

from __future__ import annotations

import atexit
import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from vadgen import paths
from vadgen.detectors.patchcore import PatchcoreTables, code
from vadgen.emit.environment import environment

_DETECT = paths.firmware() / "lib" / "vad_detect"

_DRIVER = """
#include "vad_patchcore_tables.h"
#include "vad_patchcore_whole.h"

uint32_t run(const int8_t *const taps[], uint8_t *memory, uint8_t *scratch, int8_t *maps,
             uint32_t *cells, uint16_t *nearest) {
    vad_patchcore_state_t state;
    const uint32_t score =
        vad_patchcore_whole(&vad_patchcore, taps, memory, scratch, maps, &state);
    const vad_patchcore_level_t *last = &vad_patchcore.levels[vad_patchcore.n_levels - 1];
    for (uint32_t i = 0; i < (uint32_t)last->rows * last->cols; i++) {
        cells[i] = state.cells[i];
        nearest[i] = state.nearest[i];
    }
    return score;
}
"""


def _gcc(*arguments: str, cwd: Path | None = None) -> None:
    flags = "-std=c11 -O1 -Wall -Wextra -Wconversion -Wpedantic -Werror -fPIC "
    flags += f"-fsanitize=undefined -fno-sanitize-recover -I{_DETECT / 'include'}"
    flags += f" -I{paths.firmware() / 'host'}"
    subprocess.run(["gcc", *flags.split(), *arguments], cwd=cwd, check=True)


@functools.cache
def _objects() -> tuple[str, ...]:
    """The searches, compiled once."""
    folder = Path(tempfile.mkdtemp(prefix="vadgen-test-"))
    atexit.register(shutil.rmtree, folder)
    sources = [*(_DETECT / "src").glob("vad_pq*.c"), *(_DETECT / "src").glob("vad_flat*.c")]
    sources += (_DETECT / "src").glob("vad_patch*.c")
    sources += [
        _DETECT / "src" / f"vad_{name}.c"
        for name in ("reweight", "rotate", "smooth", "squared_distance")
    ]
    _gcc("-c", *map(str, sources), cwd=folder)
    return tuple(str(p) for p in sorted(folder.glob("*.o")))


def render(tables: PatchcoreTables) -> str:
    """`vad_patchcore_tables.h`."""
    template = environment().get_template("detectors/patchcore.h.j2")
    model = {"detector": {"tables": code(tables)}}
    return template.render(model=model, version="test", source="test")


class PatchcoreHost:
    """The detector as a shared library in `folder`."""

    def __init__(self, tables: PatchcoreTables, folder: Path) -> None:
        (folder / "vad_patchcore_tables.h").write_text(render(tables))
        (folder / "driver.c").write_text(_DRIVER)
        library = folder / "driver.so"
        driver = str(folder / "driver.c")
        _gcc("-shared", f"-I{folder}", "-o", str(library), driver, *_objects())
        self._lib = ctypes.CDLL(str(library))
        self._lib.run.restype = ctypes.c_uint32
        self._tables = tables

    def run(self, outputs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray, int]:
        """Cells, nearest rows and score of one image, int8 (height, width, channels) a tap.

        Each buffer lies between guard bytes: its size must be what Python says.
        """
        sink, guard = self._tables.sink, 64
        sizes = (sink.state_bytes, sink.scratch_bytes, sink.made_bytes)
        buffers = [np.full(size + 2 * guard, 0xA5, np.uint8) for size in sizes]
        taps = [np.ascontiguousarray(o) for o in outputs]
        shape = self._tables.cell_shape
        cells, nearest = np.zeros(shape, np.uint32), np.zeros(shape, np.uint16)
        score = self._lib.run(
            (ctypes.c_void_p * len(taps))(*(t.ctypes.data for t in taps)),
            *(ctypes.c_void_p(buffer.ctypes.data + guard) for buffer in buffers),
            ctypes.c_void_p(cells.ctypes.data),
            ctypes.c_void_p(nearest.ctypes.data),
        )
        for buffer in buffers:
            assert (buffer[:guard] == 0xA5).all()
            assert (buffer[-guard:] == 0xA5).all()
        return cells, nearest, int(score)
