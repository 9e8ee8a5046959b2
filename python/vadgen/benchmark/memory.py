"""The height of this process's resident memory while something runs (Linux)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


@contextmanager
def peak_memory() -> Iterator[Callable[[], int | None]]:
    """Gives a function that tells the bytes added at the height of the block so far.

    It tells None where the system does not say. Memory that was freed before the block, but
    that the allocator holds, goes back to the system first: a block that takes it again would
    seem to need nothing.
    """
    _give_back()
    try:
        _RESET.write_text("5")  # the high-water mark becomes what is resident now
        before = _resident("VmRSS")
    except OSError:
        yield lambda: None
        return
    yield lambda: max(_resident("VmHWM") - before, 0)


def _give_back() -> None:
    """Lets the C library return free pages; one without malloc_trim (it is glibc's) keeps them."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return


def _resident(field: str) -> int:
    """Bytes that a line of the status file tells in kB."""
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field}")
