"""The host's side of a session: asks until it is answered, sends rows as they are asked for.

Every loss is mended by asking again: requests say the same when they come twice, and rows and
images are numbered. What the device forgot (it restarted, or another host began an image) is sent
anew from the start.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vadgen.errors import VadgenError
from vadgen.link.frames import Frame, FrameReader, encode
from vadgen.link.messages import (
    BAUD,
    MAX_WINDOW,
    VERSION,
    Abort,
    Begin,
    Cells,
    Code,
    Counters,
    GetCells,
    GetCounters,
    Hello,
    Identity,
    Message,
    Next,
    Output,
    Ready,
    Refused,
    Reset,
    Result,
    Row,
    SelfTest,
    SelfTested,
    SetThreshold,
    Threshold,
    Want,
    refusal,
)
from vadgen.link.response import CELLS_AT_ONCE, Collector, Response

FIRST_WAIT = 1.0
"""Seconds until a request is repeated for the first time; the wait doubles each time."""
GREATEST_WAIT = 8.0
GIVE_UP = 60.0
"""Seconds without an answer after which the device counts as gone."""
HELLO_WAIT, HELLO_GIVE_UP = 0.5, 10.0
ATTEMPTS = 4
"""How often an image is sent from its start."""

_NOISE = (Code.DAMAGED, Code.TOO_LONG)
_Answer = TypeVar("_Answer", bound=Message)


class Line(Protocol):
    """What a session needs of a port."""

    name: str

    def read(self, seconds: float) -> bytes:
        """What has come; nothing when none comes in that time."""
        ...

    def write(self, data: bytes) -> None:
        """Sends all of it."""
        ...


class _JobLost(Exception):
    """The device does not know the image: it restarted, or another host began one."""


class Device:
    """A firmware at the other end of a line.

    Args:
        line: an open port.
        give_up: seconds without an answer after which the device counts as gone.
        clock: seconds, rising.
    """

    def __init__(
        self, line: Line, give_up: float = GIVE_UP, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._line = line
        self._give_up = give_up
        self._clock = clock
        self._reader = FrameReader()
        self.sent_bytes = 0
        self.received_bytes = 0
        self._come: deque[Frame] = deque()
        # A chance start, so that no answer to an earlier host's request is taken for one of ours.
        self._sequence = random.randrange(1 << 16)

    def hello(self) -> Identity:
        """Who is there.

        Raises:
            VadgenError: no answer, or one in another version of the link.
        """
        give_up = min(HELLO_GIVE_UP, self._give_up)
        return self._ask(Hello(), Identity, HELLO_WAIT, give_up)

    def set_threshold(self, value: int) -> Threshold:
        """Sets the score above which an image is anomalous, until the device's next reset."""
        return self._ask(SetThreshold(value), Threshold)

    def counters(self) -> Counters:
        """What the device counted since its last reset."""
        return self._ask(GetCounters(), Counters)

    def self_test(self, index: int) -> SelfTested:
        """Runs a built-in image on the device."""
        return self._ask(SelfTest(index), SelfTested)

    def abort(self) -> None:
        """Drops what the device is at."""
        self._ask(Abort(), Ready)

    def reset(self) -> None:
        """Brings the device to its state after power-on."""
        self._ask(Reset(), Ready)

    def score(
        self,
        image: NDArray[Any],
        output_shapes: Sequence[tuple[int, ...]] = (),
        want_cells: bool = True,
    ) -> Response:
        """Scores an image.

        Args:
            image: (H, ...) uint8 or int8, the bytes of the model's input.
            output_shapes: shapes of the network's outputs; empty leaves them out.
            want_cells: ask for the cell scores.

        Raises:
            VadgenError: no answer, a refusal, or the image was lost again and again.
        """
        assert image.dtype in (np.uint8, np.int8), image.dtype
        rows = [row.tobytes() for row in np.ascontiguousarray(image)]
        for _ in range(ATTEMPTS):
            collector = Collector(output_shapes, self._line.name)
            try:
                job = random.getrandbits(32)
                self._send_image(
                    job, rows, Want.OUTPUTS if output_shapes else Want.NOTHING, collector
                )
                assert collector.result is not None
                if want_cells:
                    self._fetch_cells(job, collector.result.n_cells, collector)
            except _JobLost:
                continue
            if not collector.lacks_outputs():
                return collector.response(want_cells)
        raise VadgenError(
            f"{self._line.name}: the image was lost {ATTEMPTS} times",
            "the device restarts, another program uses the port, or the line is too noisy",
        )

    def listen(self, seconds: float) -> Iterator[Message]:
        """What the device says in that time without being asked."""
        for frame in self._frames(self._clock() + seconds):
            if frame.message is not None:
                yield frame.message

    # --- one image --------------------------------------------------------------------------------

    def _send_image(
        self, job: int, rows: Sequence[bytes], wants: Want, collector: Collector
    ) -> None:
        """Sends rows up to where the device asks for them, again from where it misses one."""
        progress = self._ask(Begin(job, wants), (Next, Result), of=job)
        on_way: dict[int, int] = {}  # row by sequence number, since the last step back
        on_line = 10 * MAX_WINDOW * len(rows[0]) / BAUD
        wait, moved = FIRST_WAIT, self._clock()
        sent = 0
        heeds_noise = True
        while isinstance(progress, Next):
            while sent < min(progress.until, len(rows)):
                on_way[self._send(Row(job, sent, 0, rows[sent]))] = sent
                sent += 1
            end = self._clock() + wait + on_line
            news = self._progress(job, progress, on_way, end, heeds_noise, collector)
            if isinstance(news, Result) or (news is not None and news.y > progress.y):
                progress = news
                sent = max(sent, news.y) if isinstance(news, Next) else sent
                wait, moved, heeds_noise = FIRST_WAIT, self._clock(), True
                continue
            if self._clock() - moved > self._give_up:
                raise self._silent(self._give_up)
            if news is None:
                wait = min(2 * wait, GREATEST_WAIT)
            # Once: if each damaged frame brought forth new ones, a noisy line would never be quiet.
            heeds_noise = news is None
            on_way.clear()
            sent = progress.y
        collector.take(progress)

    def _progress(
        self,
        job: int,
        last: Next,
        on_way: dict[int, int],
        end: float,
        heeds_noise: bool,
        collector: Collector,
    ) -> Next | Result | None:
        """Waits for what tells that rows came, or that one is missing; None when nothing does."""
        for frame in self._frames(end):
            message = frame.message
            if isinstance(message, Refused):
                self._check_refusal(message, frame.sequence in on_way)
                if message.code in _NOISE and heeds_noise:
                    return last
            elif isinstance(message, Output) and message.job == job:
                collector.take(message)
            elif isinstance(message, Result) and message.job == job:
                return message
            elif isinstance(message, Next) and message.job == job:
                row = on_way.pop(frame.sequence, -1)
                # A row that came too early tells that the one before it is missing.
                if message.y > last.y or row > message.y:
                    return message
        return None

    def _fetch_cells(self, job: int, count: int, collector: Collector) -> None:
        for first in range(0, count, CELLS_AT_ONCE):
            collector.take(self._ask(GetCells(job, first, CELLS_AT_ONCE), Cells, of=job))

    # --- one request ------------------------------------------------------------------------------

    def _ask(
        self,
        request: Message,
        kind: type[_Answer] | tuple[type[_Answer], ...],
        wait: float = FIRST_WAIT,
        give_up: float | None = None,
        of: int | None = None,
    ) -> _Answer:
        """Repeats a request until it is answered.

        Args:
            request: one that may come twice.
            kind: of the answer.
            wait: seconds until it is repeated for the first time.
            give_up: seconds after which the device counts as gone.
            of: the image's number, whose loss is then told apart from other refusals.
        """
        give_up = self._give_up if give_up is None else give_up
        end = self._clock() + give_up
        sent: set[int] = set()
        heeds_noise = True
        while self._clock() < end:
            sent.add(self._send(request))
            for frame in self._frames(self._clock() + wait):
                message = frame.message
                if frame.version != VERSION:
                    raise VadgenError(
                        f"{self._line.name}: the device speaks version {frame.version} of the "
                        f"link, this vadgen version {VERSION}",
                        "build the firmware again and flash it",
                    )
                if isinstance(message, Refused):
                    self._check_refusal(message, frame.sequence in sent, of is not None)
                    if message.code in _NOISE and heeds_noise:
                        heeds_noise = False
                        break
                elif isinstance(message, kind) and frame.sequence in sent:
                    return message
            else:
                heeds_noise = True
                wait = min(2 * wait, GREATEST_WAIT)
        raise self._silent(give_up)

    def _check_refusal(self, refused: Refused, is_ours: bool, of_image: bool = True) -> None:
        """Raises unless the refusal answers something else or tells of noise."""
        if refused.code in _NOISE or not is_ours:
            return
        if of_image and refused.code in (Code.JOB, Code.UNFINISHED):
            raise _JobLost
        raise VadgenError(
            f"{self._line.name}: {refusal(refused)} (detail {refused.detail})",
            "the firmware must be of this build: flash it again",
        )

    def _send(self, message: Message) -> int:
        self._sequence = self._sequence % 0xFFFF + 1
        frame = encode(message, self._sequence)
        self.sent_bytes += len(frame)
        self._line.write(frame)
        return self._sequence

    def _frames(self, until: float) -> Iterator[Frame]:
        """Frames as they come, until a time; those that have come by then are never left out."""
        while True:
            while self._come:
                yield self._come.popleft()
            left = until - self._clock()
            if left <= 0:
                return
            data = self._line.read(left)
            self.received_bytes += len(data)
            self._come.extend(self._reader.take(data))

    def _silent(self, seconds: float) -> VadgenError:
        return VadgenError(
            f"{self._line.name}: no answer in {seconds:g} s",
            "does the board run a firmware of vadgen (`vadgen flash`), and is it the right port?",
        )
