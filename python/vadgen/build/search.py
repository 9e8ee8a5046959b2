"""PatchCore's search compiled for this computer, with counters of what it looks at.

It is compiled once and takes every bank as data: `Structure`s here mirror the C's.
"""

from __future__ import annotations

import ctypes
import functools
import tempfile
import threading
from collections.abc import Iterable, Sequence
from ctypes import Structure, c_int16, c_int32, c_uint8, c_uint16, c_uint32, c_void_p
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vadgen import paths
from vadgen.build import compiler
from vadgen.looked import Looked
from vadgen.sink import Sink

_FLAGS = (*compiler.FAST, "-DVAD_PQ_COUNTING=1")
_COUNTERS = threading.Lock()  # the library's counters are one program's
_MAX_TAPS, _MAX_LEVELS = 8, 4

S = TypeVar("S", bound=Structure)


def _u16(*names: str) -> list[tuple[str, type[c_uint16]]]:
    return [(name, c_uint16) for name in names]


class _Runs(Structure):
    _fields_ = [(name, c_void_p) for name in ("start", "first", "end", "cell")]


class _Patch(Structure):
    _fields_ = [
        *_u16("height", "width", "rows", "cols", "channels", "pitch"),
        *(("zero_point", c_int16), ("window", c_uint8), ("stride", c_uint8), ("shift", c_uint8)),
        ("multiplier", c_int32),
    ]


class _Tap(Structure):
    _fields_ = [("patch", _Patch), *_u16("level", "first_dim")]


class _Level(Structure):
    _fields_ = [*_u16("rows", "cols", "first_dim", "end_dim", "window"), ("runs", _Runs)]


class _Rotation(Structure):
    _fields_ = [
        *((name, c_void_p) for name in ("order", "weights", "bias")),
        *(("block", c_uint32), ("shift", c_uint16)),
    ]


class _Reweight(Structure):
    _fields_ = [("multiplier", c_uint32), ("shift", c_uint32), ("powers", c_void_p)]


class _FlatLevel(Structure):
    _fields_ = [*_u16("first", "end"), ("rows", c_void_p)]


class _FlatBank(Structure):
    _fields_ = [*_u16("n_codes", "n_levels"), ("levels", _FlatLevel * _MAX_LEVELS)]


class _PqLevel(Structure):
    _fields_ = [*_u16("first", "end", "row_bytes", "table_rows"), ("rows", c_void_p)]


class _PqBank(Structure):
    _fields_ = [
        *_u16("n_codes", "n_levels", "sub_dims", "bits", "n_centroids", "small_tables"),
        ("codewords", c_void_p),
        ("levels", _PqLevel * _MAX_LEVELS),
    ]


class _PqnnBank(Structure):
    _fields_ = [("pq", c_void_p), *_u16("n_candidates", "table_bytes")]


class _Patchcore(Structure):
    _fields_ = [
        *_u16("n_taps", "n_levels", "n_codes", "warm_start"),
        ("table_words", c_uint32),
        ("taps", _Tap * _MAX_TAPS),
        ("levels", _Level * _MAX_LEVELS),
        ("down", _Runs),
        *((name, c_void_p) for name in ("rotations", "search", "bank", "reweight")),
    ]


_MIRRORED = (_Patchcore, _Rotation, _Reweight, _FlatBank, _PqBank, _PqnnBank)


def count_search(
    code: Any,
    sink: Sink,
    cell_shape: tuple[int, int],
    images: Sequence[NDArray[np.int8]],
) -> tuple[NDArray[np.uint32], Looked]:
    """Runs the detector as shipped over the taps of some images.

    Args:
        code: the tables, a `PatchcoreCode`.
        sink: the detector as the plan sees it.
        cell_shape: rows and columns of its scores.
        images: int8 (n, rows, cols, channels) a tap.

    Returns:
        cells uint32 (n, rows, cols), and the counts.

    Raises:
        VadgenError: no C compiler.
    """
    library = _library()
    detector = _detector(library, code)
    count = len(images[0])
    cells = np.zeros((count, *cell_shape), np.uint32)
    counted = np.zeros(len(fields(Looked)), np.uint64)
    buffers = [
        np.zeros(-(-size // 4), np.uint32)
        for size in (sink.state_bytes, sink.scratch_bytes, sink.made_bytes)
    ]
    with _COUNTERS:
        for i in range(count):
            taps = [np.ascontiguousarray(tap[i]) for tap in images]
            library.vad_search_run(
                ctypes.byref(detector),
                (c_void_p * len(taps))(*(tap.ctypes.data for tap in taps)),
                *(c_void_p(array.ctypes.data) for array in (*buffers, cells[i], counted)),
            )
    return cells, Looked(*counted.tolist())


@functools.cache
def _library() -> ctypes.CDLL:
    rooms = [paths.firmware() / "lib" / name for name in ("vad_core", "vad_detect")]
    includes = [room / "include" for room in rooms]
    sources = [c for room in rooms for c in sorted((room / "src").glob("*.c"))]
    sources.append(paths.firmware() / "host" / "vad_search_host.c")
    objects = compiler.library_objects(sources, includes, _FLAGS)
    with tempfile.TemporaryDirectory(prefix="vadgen-") as name:
        target = Path(name) / "search.so"
        library = ctypes.CDLL(str(compiler.link(objects, [*_FLAGS, "-shared"], target)))
    library.vad_search_run.restype = None
    sizes = (c_uint32 * len(_MIRRORED)).in_dll(library, "vad_search_sizes")
    assert list(sizes) == [ctypes.sizeof(mirror) for mirror in _MIRRORED], list(sizes)
    return library


def _detector(library: ctypes.CDLL, code: Any) -> _Patchcore:
    """The tables as the C reads them; what it points at lives as long as it does."""
    kept: list[Any] = [code]

    def at(value: Structure | ctypes.Array[Any] | NDArray[Any]) -> int:
        if isinstance(value, np.ndarray):
            value = np.ascontiguousarray(value)
        kept.append(value)
        return value.ctypes.data if isinstance(value, np.ndarray) else ctypes.addressof(value)

    def mirror(kind: type[S], source: object, **more: Any) -> S:
        """A structure of the fields that are named alike, arrays by their address."""
        made = kind()
        for name, _ in kind._fields_:  # type: ignore[misc]
            value = more[name] if name in more else getattr(source, name)
            setattr(made, name, at(value) if isinstance(value, np.ndarray) else value)
        return made

    def several(kind: type[S], length: int, items: Iterable[S]) -> ctypes.Array[S]:
        return (kind * length)(*items)

    patches = code.patches
    counts = {"n_levels": len(patches.levels)}
    bank: Structure
    if code.search == "vad_flat_search":
        flat = (mirror(_FlatLevel, part) for part in code.parts)
        levels: ctypes.Array[Any] = several(_FlatLevel, _MAX_LEVELS, flat)
        bank = mirror(_FlatBank, code, levels=levels, **counts)
    else:
        pq = (mirror(_PqLevel, part) for part in code.parts)
        levels = several(_PqLevel, _MAX_LEVELS, pq)
        bank = mirror(_PqBank, code, levels=levels, **counts)
        if code.search == "vad_pqnn_search":
            bank = mirror(_PqnnBank, code, pq=at(bank))
    rotations = [mirror(_Rotation, turn) for turn in code.rotations]
    detector = mirror(
        _Patchcore,
        code,
        n_taps=len(patches.taps),
        taps=several(
            _Tap,
            _MAX_TAPS,
            (mirror(_Tap, tap, patch=mirror(_Patch, tap)) for tap in patches.taps),
        ),
        levels=several(
            _Level,
            _MAX_LEVELS,
            (mirror(_Level, level, runs=mirror(_Runs, level.runs)) for level in patches.levels),
        ),
        down=mirror(_Runs, patches.down),
        rotations=at(several(_Rotation, len(rotations), rotations)) if rotations else None,
        search=ctypes.addressof(ctypes.c_char.in_dll(library, code.search)),
        bank=at(bank),
        reweight=at(mirror(_Reweight, code.reweight, powers=code.powers))
        if code.reweight
        else None,
        **counts,
    )
    detector.kept = kept
    return detector
