"""The light smoothing of cells: C, numpy and the definition, cell by cell, agree."""

from __future__ import annotations

import ctypes
import subprocess

import numpy as np
import pytest
from numpy.typing import NDArray

from vadgen import paths
from vadgen.ref.roi import Inside, Runs, runs_of
from vadgen.ref.smooth import SMOOTH_BITS, smooth

MOST = (1 << 28) - 1
REGIONS = ("all", "scattered", "one cell", "ring", "none")


class _Runs(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("start", "first", "end", "cell")]


def pointers(runs: Runs) -> _Runs:
    return _Runs(*(getattr(runs, name).ctypes.data for name, _ in _Runs._fields_))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    detect = paths.firmware() / "lib" / "vad_detect"
    out = tmp_path_factory.mktemp("smooth") / "smooth.so"
    flags = "-std=c11 -O1 -Wall -Wextra -Wconversion -Wpedantic -Werror -fPIC -shared"
    flags += " -fsanitize=undefined -fno-sanitize-recover"
    source = detect / "src" / "vad_smooth.c"
    command = ["gcc", *flags.split(), f"-I{detect / 'include'}", str(source), "-o", str(out)]
    subprocess.run(command, check=True)
    found = ctypes.CDLL(str(out))
    found.vad_smooth.restype = ctypes.c_uint32
    return found


def region(name: str, shape: tuple[int, int], rng: np.random.Generator) -> Inside:
    inside = np.zeros(shape, np.bool_)
    if name == "all":
        inside[:] = True
    elif name == "scattered":
        inside = rng.random(shape) < 0.6
    elif name == "one cell":
        inside[shape[0] // 2, shape[1] - 1] = True
    elif name == "ring":
        inside[:] = True
        inside[1:-1, 1:-1] = False
    return inside


def along(line: list[int | None]) -> list[int | None]:
    """1-2-1 of a line in Python's integers; what does not count is None, ends are repeated."""
    wide = [None, *line, None]

    def near(at: int, here: int) -> int:
        value = wide[at]
        return here if value is None else value

    return [
        None if here is None else near(i, here) + 2 * here + near(i + 2, here)
        for i, here in enumerate(line)
    ]


def defined(cells: NDArray[np.uint32], inside: Inside) -> list[list[int]]:
    lines = [
        along([v if keep else None for v, keep in zip(*pair, strict=True)])
        for pair in zip(cells.tolist(), inside.tolist(), strict=True)
    ]
    turned = [along(list(line)) for line in zip(*lines, strict=True)]
    return [[v or 0 for v in line] for line in zip(*turned, strict=True)]


@pytest.mark.parametrize("name", REGIONS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1), (7, 9)], ids=str)
def test_c_and_numpy_keep_the_definition(
    library: ctypes.CDLL, shape: tuple[int, int], name: str
) -> None:
    rng = np.random.default_rng(3)
    inside = region(name, shape, rng)
    across, down = runs_of(inside), runs_of(inside.T)
    for cells in (
        rng.integers(0, 1000, shape),
        rng.choice([0, MOST], shape),
        np.full(shape, MOST),
    ):
        cells = (cells * inside).astype(np.uint32)
        want = np.array(defined(cells, inside))
        np.testing.assert_array_equal(smooth(cells[None], inside)[0], want)
        assert want.max() <= MOST << SMOOTH_BITS < 1 << 32
        greatest = library.vad_smooth(
            ctypes.byref(pointers(across)),
            ctypes.byref(pointers(down)),
            ctypes.c_uint32(shape[0]),
            ctypes.c_uint32(shape[1]),
            ctypes.c_void_p(cells.ctypes.data),
        )
        np.testing.assert_array_equal(cells, want)
        assert greatest == want.max()


def test_a_flat_map_stays_flat_and_a_lone_cell_keeps_a_quarter() -> None:
    inside = np.ones((6, 6), np.bool_)
    assert (smooth(np.full((1, 6, 6), 9, np.uint32), inside) == 9 << SMOOTH_BITS).all()
    lone = np.zeros((1, 6, 6), np.uint32)
    lone[0, 2, 3] = 100
    assert smooth(lone, inside).max() == 100 << (SMOOTH_BITS - 2)
