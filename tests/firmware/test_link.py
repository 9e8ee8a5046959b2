"""The link: Python's frames and C's agree, and no loss on the line makes a wrong score."""

from __future__ import annotations

import contextlib
import os
import random
import struct
import subprocess
import threading
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from link_line import (
    LIBRARY,
    N_CELLS,
    OUTPUT_SHAPES,
    SHAPE,
    CSession,
    Fault,
    FaultyLine,
    image,
    sources,
)
from numpy.typing import NDArray

from vadgen import paths
from vadgen.build import compiler
from vadgen.emit.link import HEADER, messages_header
from vadgen.errors import VadgenError
from vadgen.link import messages as m
from vadgen.link import patterns
from vadgen.link.device import Device
from vadgen.link.frames import Frame, FrameReader, decode, encode, stuff, unstuff
from vadgen.link.port import Port
from vadgen.link.response import Response

CORPUS = Path(__file__).parent / "link" / "corpus"


@pytest.fixture(scope="module")
def c_session(tmp_path_factory: pytest.TempPathFactory) -> CSession:
    return CSession(tmp_path_factory.mktemp("session"))


@pytest.fixture
def session(c_session: CSession) -> CSession:
    c_session.power_on()
    return c_session


def frames(data: bytes) -> list[Frame]:
    return list(FrameReader().take(data))


def expected_cells(pixels: NDArray[np.uint8]) -> list[int]:
    cells = [0] * N_CELLS
    crc = 0
    for y, row in enumerate(pixels):
        crc = zlib.crc32(row.tobytes(), crc)
        cells[y % N_CELLS] = (cells[y % N_CELLS] + crc) & 0xFFFFFFFF
    return cells


def expected_outputs(pixels: NDArray[np.uint8]) -> list[NDArray[np.int8]]:
    centred = (pixels.astype(int) - 128).astype(np.int8)
    return [centred, centred.reshape(SHAPE[0], -1)[::2, : SHAPE[1], None]]


def check(response: Response, pixels: NDArray[np.uint8], threshold: int = 1 << 31) -> None:
    score = zlib.crc32(pixels.tobytes())
    assert response.score == score
    assert response.threshold == threshold
    assert response.is_anomalous == (score > threshold)
    assert response.cells.tolist() == expected_cells(pixels)
    for got, wanted in zip(response.outputs, expected_outputs(pixels), strict=True):
        assert np.array_equal(got, wanted)


# --- frames and messages --------------------------------------------------------------------------


def test_the_header_is_that_of_the_messages() -> None:
    assert (paths.firmware().parent / HEADER).read_text(encoding="utf-8") == messages_header()


@given(st.binary(max_size=2000) | st.lists(st.sampled_from([0, 1]), max_size=800).map(bytes))
def test_stuffing_is_undone(data: bytes) -> None:
    block = stuff(data)
    assert 0 not in block
    assert unstuff(block) == data
    assert len(block) <= len(data) + 1 + len(data) // 254


@pytest.mark.parametrize("length", [0, 1, 253, 254, 255, 508, 509])
@pytest.mark.parametrize("tail", [b"", b"\0", b"\0\1"])
def test_stuffing_at_the_ends_of_blocks(length: int, tail: bytes) -> None:
    assert unstuff(stuff(b"\7" * length + tail)) == b"\7" * length + tail


@given(st.binary(max_size=600))
def test_any_block_is_a_frame_or_none(block: bytes) -> None:
    frame = decode(block.replace(b"\0", b"\1"))
    assert frame is None or frame.message is None or frame.version == m.VERSION


def test_every_message_survives_its_frame() -> None:
    for kind in m.MESSAGES:
        layout = m.LAYOUTS[kind]
        values: dict[str, object] = {
            field.name: "name"
            if field.type.name == "char"
            else b"d" * 32
            if field.type.count
            else i
            for i, field in enumerate(layout.fields)
        }
        if layout.rest:
            values[layout.rest] = b"\0\1\0"
        message = kind(**values)
        assert frames(encode(message, 7)) == [Frame(m.VERSION, 7, message)]


def test_frames_are_found_in_pieces_and_behind_noise() -> None:
    data = b"noise" + encode(m.Hello(), 1) + b"\0\0more" + encode(m.Query(2), 3)
    reader = FrameReader()
    found = [frame for byte in data for frame in reader.take(bytes([byte]))]
    assert [frame.message for frame in found] == [m.Hello(), m.Query(2)]
    assert reader.damaged == 2


def test_an_endless_block_is_not_kept() -> None:
    reader = FrameReader(limit=1000)
    for _ in range(100):
        assert list(reader.take(b"x" * 1000)) == []
    assert len(reader._held) <= 1001
    assert [f.message for f in reader.take(encode(m.Hello(), 1))] == [m.Hello()]


# --- a line that loses nothing --------------------------------------------------------------------


def test_a_session(session: CSession) -> None:
    line = FaultyLine(session)
    device = Device(line, clock=line.clock)
    identity = device.hello()
    assert (identity.board, identity.model[:4]) == ("by hand", b"\x09\x08\x07\0")
    assert (identity.height, identity.width, identity.channels) == SHAPE
    assert identity.window == m.MAX_WINDOW
    for seed in range(3):
        check(device.score(image(seed), OUTPUT_SHAPES), image(seed))
    plain = device.score(image(4), want_cells=False)
    assert plain.outputs == () and plain.cells.size == 0
    counters = device.counters()
    assert (counters.images, counters.damaged, counters.refused, counters.misplaced) == (4, 0, 0, 0)
    assert (counters.overruns, counters.stack_bytes) == (7, 123)
    assert line.now < 1  # nothing was waited for


def test_the_threshold_is_volatile(session: CSession) -> None:
    line = FaultyLine(session)
    device = Device(line, clock=line.clock)
    told = device.set_threshold(5)
    assert (told.value, told.shipped, told.is_volatile) == (5, 1 << 31, 1)
    check(device.score(image(0), OUTPUT_SHAPES), image(0), threshold=5)
    assert device.hello().threshold == 5
    device.reset()
    assert device.hello().threshold == 1 << 31
    assert device.counters().images == 0


@pytest.mark.parametrize("index", range(patterns.COUNT))
def test_the_self_test_is_its_numpy_twin(session: CSession, index: int) -> None:
    line = FaultyLine(session)
    told = Device(line, clock=line.clock).self_test(index)
    pixels = patterns.pattern(index, *SHAPE)
    score, cells = zlib.crc32(pixels.tobytes()), np.array(expected_cells(pixels), np.uint32)
    assert told.score == score
    assert told.digest == patterns.digest(expected_outputs(pixels), score, cells)
    assert told.expected == (0x01020304, 0x05060708)[index]


@pytest.mark.parametrize(("ahead", "window"), [(0, 1), (39, 1), (40, 2), (200, 6), (10**6, 8)])
def test_rows_are_sent_as_far_ahead_as_the_device_keeps(
    session: CSession, ahead: int, window: int
) -> None:
    """The frame of a row of 21 bytes takes at most 40."""
    session.power_on(ahead)
    (frame,) = frames(session.take(encode(m.Begin(1, 0), 1)))
    assert frame.message == m.Next(1, 0, window)
    line = FaultyLine(session)
    check(Device(line, clock=line.clock).score(image(0), OUTPUT_SHAPES), image(0))


def test_a_score_of_the_devices_own_is_told(session: CSession) -> None:
    line = FaultyLine(session)
    line._come.append(b"boot noise" + session.report(2**31 + 1) + session.report(3))
    told = list(Device(line, clock=line.clock).listen(1))
    assert [(r.score, r.is_anomalous) for r in told if isinstance(r, m.Result)] == [
        (2**31 + 1, 1),
        (3, 0),
    ]


# --- requests that are refused --------------------------------------------------------------------


def refused(session: CSession, data: bytes) -> m.Refused:
    (frame,) = frames(session.take(data))
    assert isinstance(frame.message, m.Refused)
    return frame.message


def raw(body: bytes) -> bytes:
    return b"\0" + stuff(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (raw(b"\1\x7f\0\0"), m.Code.KIND),
        (raw(b"\1\x81\0\0"), m.Code.KIND),
        (raw(b"\2\1\0\0"), m.Code.VERSION),
        (raw(b"\1\1\0\0more"), m.Code.LENGTH),
        (raw(b"\1\2\0\0" + bytes(7)), m.Code.LENGTH),
        (encode(m.Row(1, 0, 0, bytes(20)), 1), m.Code.LENGTH),
        (encode(m.Row(1, 0, 0, bytes(21)), 1), m.Code.JOB),
        (encode(m.Query(1), 1), m.Code.JOB),
        (encode(m.GetCells(1, 0, 1), 1), m.Code.JOB),
        (encode(m.SelfTest(2), 1), m.Code.RANGE),
        (encode(m.Row(1, 0, 0, bytes(22)), 1), m.Code.TOO_LONG),
        (b"\0" + b"\xff" * 100_000 + b"\0", m.Code.TOO_LONG),
        (b"\0\5abc\0", m.Code.DAMAGED),
        (raw(b"\1\1\0"), m.Code.DAMAGED),
        (encode(m.Hello(), 1)[:-2] + b"\1\0", m.Code.DAMAGED),
    ],
)
def test_what_is_wrong_is_refused(session: CSession, data: bytes, code: m.Code) -> None:
    assert refused(session, data).code == code
    (frame,) = frames(session.take(encode(m.Hello(), 9)))
    assert frame.sequence == 9 and isinstance(frame.message, m.Identity)


def test_cells_are_there_when_the_image_is_done(session: CSession) -> None:
    session.take(encode(m.Begin(5, 0), 1))
    assert refused(session, encode(m.GetCells(5, 0, 6), 2)).code == m.Code.UNFINISHED
    for y, row in enumerate(image(0)):
        session.take(encode(m.Row(5, y, 0, row.tobytes()), 3))
    (frame,) = frames(session.take(encode(m.GetCells(5, 4, 100), 4)))
    assert isinstance(frame.message, m.Cells)
    assert np.frombuffer(frame.message.values, "<u4").tolist() == expected_cells(image(0))[4:]
    assert refused(session, encode(m.GetCells(5, 7, 1), 5)).code == m.Code.RANGE


def test_rows_that_come_twice_or_too_early_change_nothing(session: CSession) -> None:
    session.take(encode(m.Begin(5, 0), 1))
    rows = [encode(m.Row(5, y, 0, row.tobytes()), y) for y, row in enumerate(image(1))]
    for y, row in enumerate(rows):
        for other in (rows[0], rows[-1], encode(m.Begin(5, 0), 1), row):
            session.take(other if y > 0 and y + 1 < len(rows) else row)
    (frame,) = frames(session.take(encode(m.Query(5), 2)))
    assert isinstance(frame.message, m.Result)
    assert frame.message.score == zlib.crc32(image(1).tobytes())


def test_a_refused_image_is_an_error(session: CSession) -> None:
    line = FaultyLine(session)
    device = Device(line, clock=line.clock)
    bad = image(0)
    bad[0, 0, 0] = 255
    with pytest.raises(VadgenError, match="the model refused an image"):
        device.score(bad)
    check(device.score(image(0), OUTPUT_SHAPES), image(0))


# --- a line that loses ----------------------------------------------------------------------------


def flipped(rng: random.Random, rate: float) -> Fault:
    """Bits turn over."""

    def fault(data: bytes) -> list[bytes]:
        changed = bytearray(data)
        for i in range(len(changed)):
            if rng.random() < rate:
                changed[i] ^= 1 << rng.randrange(8)
        return [bytes(changed)]

    return fault


def truncated(rng: random.Random, rate: float) -> Fault:
    """The end of what is written is lost."""
    return lambda data: [data[: rng.randrange(len(data) + 1)] if rng.random() < rate else data]


def dropped(rng: random.Random, rate: float) -> Fault:
    """Bytes are lost, as where a receiver is too slow."""
    return lambda data: [bytes(b for b in data if rng.random() >= rate)]


def doubled(rng: random.Random, rate: float) -> Fault:
    """What is written comes twice, three times."""
    return lambda data: [data] * (1 + (rng.random() < rate) + (rng.random() < rate))


def late(rng: random.Random, rate: float) -> Fault:
    """What is written comes behind what is written next."""
    held: list[bytes] = []

    def fault(data: bytes) -> list[bytes]:
        now = [data, *held]
        held.clear()
        if rng.random() < rate:
            held.append(now.pop(0))
        return now

    return fault


def noisy(rng: random.Random, rate: float) -> Fault:
    """Noise comes between, at times more than any frame is long."""

    def fault(data: bytes) -> list[bytes]:
        if rng.random() >= rate:
            return [data]
        return [rng.randbytes(rng.choice((1, 30, 3000))), data]

    return fault


FAULTS = (flipped, truncated, dropped, doubled, late, noisy)
RATES = {flipped: 0.002, dropped: 0.002}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("ahead", [0, 10**6])
def test_no_loss_makes_a_wrong_score(
    session: CSession, fault: Callable[[random.Random, float], Fault], ahead: int
) -> None:
    session.power_on(ahead)
    rng = random.Random(0)
    rate = RATES.get(fault, 0.15)
    line = FaultyLine(session, fault(rng, rate), fault(rng, rate))
    device = Device(line, clock=line.clock)
    for seed in range(20):
        check_scores(device.score(image(seed)), image(seed))
    assert line.sent < 20 * 20_000
    line.up = line.down = lambda data: [data]
    check(device.score(image(99), OUTPUT_SHAPES), image(99))


def check_scores(response: Response, pixels: NDArray[np.uint8]) -> None:
    assert response.score == zlib.crc32(pixels.tobytes())
    assert response.cells.tolist() == expected_cells(pixels)


@pytest.mark.parametrize("seed", range(30))
def test_all_faults_at_once(session: CSession, seed: int) -> None:
    """Either the right score or an error, and afterwards all is well."""
    rng = random.Random(seed)
    session.power_on(rng.choice((0, 100, 10**6)))

    def some(data: bytes) -> list[bytes]:
        pieces = [data]
        for fault in rng.sample(FAULTS, 2):
            rate = RATES.get(fault, 0.1)
            pieces = [p for piece in pieces for p in fault(rng, rate)(piece)]
        return pieces

    line = FaultyLine(session, some, some)
    device = Device(line, clock=line.clock)
    for i in range(5):
        if rng.random() < 0.3:
            session.power_on()  # the device restarts between images
        try:
            check_scores(device.score(image(i)), image(i))
        except VadgenError:
            pass
    line.up = line.down = lambda data: [data]
    check(device.score(image(99), OUTPUT_SHAPES), image(99))


@pytest.mark.parametrize("at", [1, 30, 200, 400])
def test_a_device_that_restarts_begins_again(session: CSession, at: int) -> None:
    line = FaultyLine(session)
    seen = 0

    def up(data: bytes) -> list[bytes]:
        nonlocal seen
        before, seen = seen, seen + len(data)
        if before < at <= seen:
            session.power_on()
            return [data[at - before :]]
        return [data]

    line.up = up
    check(Device(line, clock=line.clock).score(image(0), OUTPUT_SHAPES), image(0))


@pytest.mark.parametrize("at", [3, 20, 47, 100, 333])
def test_a_host_that_dies_leaves_nothing_behind(session: CSession, at: int) -> None:
    line = FaultyLine(session)
    left = at

    def up(data: bytes) -> list[bytes]:
        nonlocal left
        if left <= 0:
            raise KeyboardInterrupt
        piece, left = data[:left], left - len(data)
        return [piece]

    line.up = up
    with pytest.raises(KeyboardInterrupt):
        Device(line, clock=line.clock).score(image(0))
    again = FaultyLine(session)
    check(Device(again, clock=again.clock).score(image(1), OUTPUT_SHAPES), image(1))


def test_two_hosts_disturb_but_mislead_nobody(session: CSession) -> None:
    other = FaultyLine(session)
    calls = 0

    def up(data: bytes) -> list[bytes]:
        nonlocal calls
        calls += 1
        if calls == 5:
            check(Device(other, clock=other.clock).score(image(7), OUTPUT_SHAPES), image(7))
        return [data]

    line = FaultyLine(session, up)
    check(Device(line, clock=line.clock).score(image(0), OUTPUT_SHAPES), image(0))
    assert calls > 5


@pytest.mark.parametrize("answers", [b"", b"\0\3ab\0"], ids=["silent", "babbling"])
def test_a_device_that_says_nothing_of_use_is_given_up(session: CSession, answers: bytes) -> None:
    line = FaultyLine(session, down=lambda data: [answers] if answers else [])
    device = Device(line, clock=line.clock)
    with pytest.raises(VadgenError, match="no answer in 10 s"):
        device.hello()
    with pytest.raises(VadgenError, match="no answer in 60 s"):
        device.score(image(0))
    assert line.now < 200
    assert line.sent < 2000


def test_another_version_of_the_link_is_named(session: CSession) -> None:
    line = FaultyLine(session, down=lambda data: [raw(b"\7\x81\0\0" + bytes(50))])
    with pytest.raises(VadgenError, match="speaks version 7 of the link, this vadgen version 1"):
        Device(line, clock=line.clock).hello()


def test_a_line_on_which_no_image_comes_through_is_an_error(session: CSession) -> None:
    line = FaultyLine(session)

    def up(data: bytes) -> list[bytes]:
        (frame,) = frames(data)
        if isinstance(frame.message, m.Row):
            session.power_on()
        return [data]

    line.up = up
    with pytest.raises(VadgenError, match="the image was lost 4 times"):
        Device(line, clock=line.clock).score(image(0))


class Babbler:
    """A device that answers with whatever it likes, as long as it has something to say."""

    name = "line"

    def __init__(self, answers: list[m.Message]) -> None:
        self.answers = answers
        self.now = 0.0
        self._come: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Answers each request, with the image's number in place of any other."""
        for frame in frames(data):
            if self.answers:
                answer = self.answers.pop()
                if hasattr(answer, "job") and hasattr(frame.message, "job"):
                    answer = replace(answer, job=frame.message.job)
                self._come.append(encode(answer, frame.sequence))

    def read(self, seconds: float) -> bytes:
        """What has come, or the time is over."""
        self.now += 1e-4 if self._come else seconds
        return self._come.pop(0) if self._come else b""


def any_message(kind: type[m.Message]) -> st.SearchStrategy[m.Message]:
    """Any values for the fields of a kind."""
    values: dict[str, st.SearchStrategy[Any]] = {}
    for field in m.LAYOUTS[kind].fields:
        if field.type.name == "char":
            values[field.name] = st.text(max_size=4)
        elif field.type.count:
            values[field.name] = st.binary(min_size=field.type.count, max_size=field.type.count)
        else:
            most = 2 ** (8 * struct.calcsize(f"<{field.type.code}")) - 1
            values[field.name] = st.sampled_from([0, 1, 6, 11]) | st.integers(0, most)
    if rest := m.LAYOUTS[kind].rest:
        values[rest] = st.binary(max_size=40)
    return st.builds(kind, **values)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.one_of(*map(any_message, m.MESSAGES)), max_size=40))
@example([m.Refused(m.Code.JOB, m.GetCounters.KIND, 0)] * 6)
def test_whatever_a_device_says_is_an_answer_or_an_error(said: list[m.Message]) -> None:
    line = Babbler(list(said))
    device = Device(line, clock=lambda: line.now)
    for ask in (
        device.hello,
        device.counters,
        lambda: device.self_test(0),
        lambda: device.set_threshold(1),
        lambda: device.score(image(0), OUTPUT_SHAPES),
        lambda: device.score(image(0)),
    ):
        try:
            assert ask() is not None
        except VadgenError as error:
            assert error.message.startswith("line") and error.hint


def test_a_session_over_a_terminal(session: CSession) -> None:
    """A device file as of a serial adapter: all bytes go through unchanged, both ways."""
    ours, theirs = os.openpty()

    def run() -> None:
        with contextlib.suppress(OSError):  # the end of the line
            while data := os.read(ours, 4096):
                answers = memoryview(session.take(data))
                while answers:
                    answers = answers[os.write(ours, answers) :]

    thread = threading.Thread(target=run)
    with Port(os.ttyname(theirs)) as line:
        os.close(theirs)
        thread.start()
        device = Device(line)
        assert device.hello().board == "by hand"
        for seed in range(3):
            check(device.score(image(seed), OUTPUT_SHAPES), image(seed))
        assert device.counters().damaged == 0
    thread.join(10)
    os.close(ours)
    assert not thread.is_alive()


# --- the fuzzer's corpus --------------------------------------------------------------------------


def test_the_corpus_is_replayed_under_sanitizers(tmp_path: Path) -> None:
    main = tmp_path / "main.c"
    main.write_text(
        "#include <stdint.h>\n#include <stdio.h>\n"
        "int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);\n"
        "int main(int n, char **names) {\n"
        "    static uint8_t data[1 << 16];\n"
        "    for (int i = 1; i < n; i++) {\n"
        '        FILE *file = fopen(names[i], "rb");\n'
        "        if (file == NULL) {\n            return 1;\n        }\n"
        "        size_t bytes = fread(data, 1, sizeof data, file);\n"
        "        (void)fclose(file);\n"
        "        (void)LLVMFuzzerTestOneInput(data, bytes);\n"
        "    }\n    return 0;\n}\n"
    )
    files, includes = sources()
    flags = (*compiler.SANITIZED, "-DVAD_FUZZ")
    objects = compiler.compile_sources([main, *files], includes, flags, tmp_path)
    program = compiler.link(objects, flags, tmp_path / "replay")
    corpus = sorted(CORPUS.iterdir())
    assert len(corpus) > 50
    subprocess.run([program, *corpus], check=True)


def test_no_heap_no_float_in_the_link() -> None:
    text = "".join(path.read_text() for path in LIBRARY.rglob("*.[ch]"))
    assert not [word for word in ("malloc", "float", "double", "printf") if word in text]
