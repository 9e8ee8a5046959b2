"""The C session as a line's other end, with losses between; time passes where nothing comes."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vadgen import paths
from vadgen.build import compiler

SOURCE = Path(__file__).parent / "firmware" / "link" / "session.c"
LIBRARY = paths.firmware() / "lib" / "vad_link"
SHAPE = 11, 7, 3
OUTPUT_SHAPES = ((11, 7, 3), (6, 7, 1))
N_CELLS = 6
AHEAD = 2**32 - 1

Fault = Callable[[bytes], list[bytes]]


def sources() -> tuple[list[Path], list[Path]]:
    """The session's C, and where its headers are."""
    core = paths.firmware() / "lib" / "vad_core"
    files = [SOURCE, *sorted((LIBRARY / "src").glob("*.c"))]
    return files, [LIBRARY / "include", core / "include"]


class CSession:
    """The library of session.c: one device."""

    def __init__(self, folder: Path) -> None:
        files, includes = sources()
        flags = ("-O1", "-g", "-fPIC", "-fsanitize=undefined", "-fno-sanitize-recover=all")
        objects = compiler.compile_sources(files, includes, flags, folder)
        library = compiler.link(objects, [*flags, "-shared"], folder / "session.so")
        self._c = ctypes.CDLL(str(library))
        self._c.test_take.restype = ctypes.c_size_t
        self._c.test_take.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p]
        self._c.test_report.restype = ctypes.c_size_t
        self._c.test_report.argtypes = [ctypes.c_uint32, ctypes.c_void_p]
        self.power_on()

    def power_on(self, ahead: int = AHEAD) -> None:
        """As after a reset; `ahead` bytes are kept while the device does not read."""
        self._c.test_power_on(ctypes.c_uint32(ahead))

    def take(self, data: bytes) -> bytes:
        """The answers to bytes."""
        to = ctypes.c_void_p()
        count = self._c.test_take(data, len(data), ctypes.byref(to))
        return ctypes.string_at(to.value or 0, count)

    def report(self, score: int) -> bytes:
        """What the device says of a score of its own."""
        to = ctypes.c_void_p()
        count = self._c.test_report(score, ctypes.byref(to))
        return ctypes.string_at(to.value or 0, count)


class FaultyLine:
    """A line to a device.

    Args:
        device: takes bytes, gives its answers.
        up, down: what becomes of the bytes of one write, and of its answers: pieces in order.
    """

    name = "line"

    def __init__(
        self,
        device: CSession,
        up: Fault = lambda data: [data],
        down: Fault = lambda data: [data],
    ) -> None:
        self.device = device
        self.up, self.down = up, down
        self.now = 0.0
        self.sent = 0
        self._come: list[bytes] = []

    def clock(self) -> float:
        """Seconds, which pass only while nothing comes."""
        return self.now

    def write(self, data: bytes) -> None:
        """To the device, whose answers wait to be read."""
        self.sent += len(data)
        for piece in self.up(data):
            self._come += self.down(self.device.take(piece))

    def read(self, seconds: float) -> bytes:
        """What has come, or the time is over."""
        if not self._come:
            self.now += seconds
            return b""
        self.now += 1e-4
        return self._come.pop(0)


def image(seed: int) -> NDArray[np.uint8]:
    """Noise with many zeros that the model does not refuse."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, SHAPE) * rng.integers(0, 2, SHAPE)
    return np.minimum(noise, 254).astype(np.uint8)
