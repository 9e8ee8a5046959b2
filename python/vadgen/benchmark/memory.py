"""The height of this process's resident memory while something runs (Linux)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


@contextmanager
def peak_memory() -> Iterator[Callable[[], int | None]]:
    """Gives a function that tells the bytes added at the height of the block so far.

    It tells None where the system does not say.
    """
    try:
        _RESET.write_text("5")  # the high-water mark becomes what is resident now
        before = _resident("VmRSS")
    except OSError:
        yield lambda: None
        return
    yield lambda: max(_resident("VmHWM") - before, 0)


def _resident(field: str) -> int:
    """Bytes that a line of the status file tells in kB."""
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field}")
