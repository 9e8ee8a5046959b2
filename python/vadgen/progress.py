"""How a long step tells what it is doing: bars on a terminal, plain lines when piped, or nothing.

The pipeline takes a `Progress`; only the command line makes one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Protocol, Self, TextIO, TypeVar

T = TypeVar("T")

_QUIET_SECONDS = 5.0
_SPEED_SECONDS = 3600.0  # the time left is told from what was done since then


def show_time(seconds: float) -> str:
    """A span of time for people: 45 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Progress(Protocol):
    """What the steps of the pipeline may say."""

    def step(self, title: str) -> None:
        """Begin a step, which ends the one before."""

    def track(self, items: Iterable[T], total: int, title: str) -> Iterator[T]:
        """Yield the items and show how many of `total` are done."""

    def note(self, text: str) -> None:
        """Say one line that stays on the screen."""


class SilentProgress:
    """Says nothing."""

    def step(self, title: str) -> None:
        """Begin a step."""

    def track(self, items: Iterable[T], total: int, title: str) -> Iterator[T]:
        """Yield the items."""
        return iter(items)

    def note(self, text: str) -> None:
        """Drop the line."""


class PlainProgress:
    """One line a step, and at most one every five seconds inside it; no control characters.

    Args:
        stream: where the lines go.
        clock: seconds, rising.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def step(self, title: str) -> None:
        """Print the title."""
        self._say(title)

    def track(self, items: Iterable[T], total: int, title: str) -> Iterator[T]:
        """Yield the items; print how many are done, and the time left, when a line is due."""
        last = began = self._clock()
        for done, item in enumerate(items, start=1):
            yield item
            if self._clock() - last >= _QUIET_SECONDS:
                last = self._clock()
                left = (last - began) / done * (total - done)
                more = f", about {show_time(left)} left" if done < total else ""
                self._say(f"  {title}: {done} of {total}{more}")

    def note(self, text: str) -> None:
        """Print the line, indented below its step."""
        self._say(f"  {text}")

    def _say(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class RichProgress:
    """A spinner for the step, a bar for what is tracked, a tick and its seconds when it is done.

    Use it in a `with` statement, which brings the terminal back whatever happens.

    Args:
        stream: a terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            SpinnerColumn,
            TaskID,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Live

        self._console = Console(file=stream, highlight=False)
        self._live = Live(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
            speed_estimate_period=_SPEED_SECONDS,
        )
        self._task: TaskID | None = None
        self._title = ""
        self._began = 0.0

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end(failed=kind is not None)
        self._live.stop()

    def step(self, title: str) -> None:
        """End the step before and begin this one."""
        self._end(failed=False)
        self._title = title
        self._began = time.monotonic()
        self._task = self._live.add_task(title, total=None, count="")

    def track(self, items: Iterable[T], total: int, title: str) -> Iterator[T]:
        """Yield the items under a bar of their own."""
        task = self._live.add_task(f"  {title}", total=total, count=f"0/{total}")
        try:
            for done, item in enumerate(items, start=1):
                yield item
                self._live.update(task, completed=done, count=f"{done}/{total}")
        finally:
            self._live.remove_task(task)

    def note(self, text: str) -> None:
        """Print the line above the bars."""
        self._console.print(f"  {text}", markup=False, style="dim")

    def _end(self, *, failed: bool) -> None:
        if self._task is None:
            return
        self._live.remove_task(self._task)
        self._live.refresh()
        self._task = None
        from rich.text import Text

        mark = ("✗ ", "red") if failed else ("✓ ", "green")
        seconds = f"  {time.monotonic() - self._began:.1f} s"
        self._console.print(Text.assemble(mark, self._title, (seconds, "dim")))


def open_progress(stream: TextIO) -> RichProgress | PlainProgress:
    """The progress that suits the stream."""
    return RichProgress(stream) if stream.isatty() else PlainProgress(stream)
