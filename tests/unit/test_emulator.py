"""Responses of the firmware: read whole, refused when damaged."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from vadgen.build import emulator
from vadgen.errors import VadgenError

SHAPES = ((2, 3, 1), (4,))
HEAD = b"VADR" + struct.pack("<II", 1, 1)
ROWS = b"".join(
    struct.pack("<BBHI", 1, index, y, len(data)) + data
    for index, y, data in ((0, 1, b"\3\4\5"), (1, 0, b"\6\7\x08\x80"), (0, 0, b"\0\1\2"))
)
RESULT = struct.pack("<BBHIII", 2, 1, 0, 16, 9, 8) + struct.pack("<II", 7, 9)
END = struct.pack("<BBHI", 3, 0, 0, 0)
WHOLE = HEAD + ROWS + RESULT + END


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
        (b"", "has a wrong head"),
        (b"VADX" + WHOLE[4:], "has a wrong head"),
        (HEAD[:8] + struct.pack("<I", 2) + WHOLE[12:], "has a wrong head"),
        (HEAD, "answered 0 of 1 images"),
        (WHOLE + WHOLE[12:], "answered 2 of 1 images"),
        (WHOLE[:-1], "is cut off"),
        (HEAD + ROWS[:20], "is cut off"),
        (HEAD + ROWS[11:] + RESULT + END, "sent 3 bytes of output 0, not 6"),
        (HEAD + ROWS + END, "without a result"),
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
        "import struct\n"
        "request = open('request.bin', 'rb').read()\n"
        "n = struct.unpack('<I', request[8:12])[0]\n"
        "out = b'VADR' + struct.pack('<II', 1, n)\n"
        "for i in range(n):\n"
        "    out += struct.pack('<BBHIII', 2, 0, 0, 8, request[16 + i], 0)\n"
        "    out += struct.pack('<BBHI', 3, 0, 0, 0)\n"
        "open('response.bin', 'wb').write(out)\n"
    )
    program.chmod(0o755)
    images = np.arange(7, dtype=np.uint8)[:, None]
    scores = [response.score for response in emulator.run_host(program, images)]
    assert scores == list(range(7))
