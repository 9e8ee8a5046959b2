"""Responses of the firmware: read whole, refused when damaged."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from vadgen.build import emulator
from vadgen.errors import VadgenError
from vadgen.link.frames import encode
from vadgen.link.messages import Cells, Code, Next, Output, Refused, Result

SHAPES = ((2, 3, 1), (4,))
ROWS = [
    encode(Output(1, 0, 1, b"\3\4\5"), 0),
    encode(Output(1, 1, 0, b"\6\7\x08\x80"), 0),
    encode(Output(1, 0, 0, b"\0\1\2"), 0),
]
CELLS = encode(Cells(1, 0, b"\7\0\0\0\x09\0\0\0"), 0)
RESULT = encode(Result(1, 9, 8, 2, 1), 0)
WHOLE = encode(Next(1, 0, 1), 0) + b"".join(ROWS) + RESULT + CELLS


def answering(data: bytes, tmp_path: Path) -> Path:
    """A program that gives `data` as its response."""
    path, program = tmp_path / "data", tmp_path / "program"
    path.write_bytes(data)
    program.write_text(f"#!/bin/sh\ncp '{path}' response.bin\n")
    program.chmod(0o755)
    return program


def run(data: bytes, tmp_path: Path) -> list[emulator.Response]:
    return emulator.run_host(answering(data, tmp_path), np.zeros((1, 4), np.uint8), SHAPES)


def test_rows_come_in_any_order(tmp_path: Path) -> None:
    (response,) = run(WHOLE, tmp_path)
    assert response.outputs[0].tolist() == [[[0], [1], [2]], [[3], [4], [5]]]
    assert response.outputs[1].tolist() == [6, 7, 8, -128]
    assert response.cells.tolist() == [7, 9]
    assert (response.score, response.threshold, response.is_anomalous) == (9, 8, True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is damaged"),
        (WHOLE[:-1], "is damaged"),
        (WHOLE[:-9], "is damaged"),
        (WHOLE.replace(b"\3\4\5", b"\3\4\6"), "is damaged"),
        (ROWS[0] + b"text\0" + WHOLE, "is damaged"),
        (b"".join(ROWS) + CELLS, "without a result"),
        (ROWS[0] + ROWS[1] + RESULT + CELLS, "sent 3 bytes of output 0, not 6"),
        (b"".join(ROWS) + RESULT, "sent 0 bytes of cells, not 8"),
        (encode(Refused(Code.MODEL, 3, 1), 0) + WHOLE, "the model refused an image"),
        (encode(Refused(77, 3, 1), 0) + WHOLE, "refused a request with code 77"),
    ],
)
def test_damaged_responses_are_refused(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(VadgenError, match=message):
        run(data, tmp_path)


def test_a_program_that_writes_nothing_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    with pytest.raises(VadgenError, match="wrote no response"):
        emulator.run_host(program, np.zeros((1, 4), np.uint8))


def test_a_file_that_cannot_run_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\0")
    program.chmod(0o755)
    with pytest.raises(VadgenError, match="cannot be run"):
        emulator.run_host(program, np.zeros((1, 4), np.uint8))


def test_images_are_shared_among_runs(tmp_path: Path) -> None:
    """Each run answers its own share, and the answers come back in order."""
    program = tmp_path / "program"
    program.write_text(
        f"#!{sys.executable}\n"
        f"import sys\nsys.path[:0] = {sys.path!r}\n"
        "from vadgen.link.frames import FrameReader, encode\n"
        "from vadgen.link.messages import Cells, Result, Row\n"
        "out = b''\n"
        "for frame in FrameReader().take(open('request.bin', 'rb').read()):\n"
        "    if isinstance(frame.message, Row):\n"
        "        job = frame.message.job\n"
        "        out += encode(Result(job, frame.message.data[0], 0, 0, 0), 0)\n"
        "        out += encode(Cells(job, 0, b''), 0)\n"
        "open('response.bin', 'wb').write(out)\n"
    )
    program.chmod(0o755)
    images = np.arange(7, dtype=np.uint8)[:, None]
    scores = [response.score for response in emulator.run_host(program, images)]
    assert scores == list(range(7))
