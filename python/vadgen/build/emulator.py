"""Runs firmware on an emulated board, or the host's program, over request and response files.

The formats stand in ARCHITECTURE.md, "Firmware project".
"""

from __future__ import annotations

import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadgen.board import Board
from vadgen.build.tools import find_program
from vadgen.errors import VadgenError

_VERSION = 1
_WANT_OUTPUTS, _WANT_CELLS, _WANT_STACK = 1, 2, 4
_ROW, _RESULT, _END, _STACK = 1, 2, 3, 4
_RECORD = struct.Struct("<BBHI")
_FAULT = 0xF0
_EXITS = {
    1: "it could not open its request or response file",
    2: "it did not understand the request",
    3: "the model refused an image, or the request ended early",
    4: "it could not write its response (is the disk full?)",
}
_DEFAULT_SECONDS = 600.0


@dataclass(frozen=True, eq=False)
class Response:
    """What the firmware answered for one image.

    Attributes:
        outputs: int8 arrays in the shapes asked for; empty when not asked for.
        cells: uint32 (rows * cols,) cell scores; empty when not asked for or without a detector.
        score: image score, 0 without a detector.
        threshold: the score above which an image is anomalous.
        is_anomalous: the firmware's decision.
    """

    outputs: tuple[NDArray[np.int8], ...]
    cells: NDArray[np.uint32]
    score: int
    threshold: int
    is_anomalous: bool


def run(
    elf: Path,
    board: Board,
    images: NDArray[Any],
    output_shapes: Sequence[tuple[int, ...]] = (),
    *,
    want_cells: bool = True,
    timeout: float = _DEFAULT_SECONDS,
) -> list[Response]:
    """Scores images on the board's emulator.

    Args:
        elf: firmware built for the board.
        board: a board with an emulator.
        images: (N, ...) uint8 or int8, the bytes of the model's input in its order.
        output_shapes: shapes of the model's outputs in order, without the batch, rows first;
            empty leaves the outputs out.
        want_cells: ask for the cell scores.
        timeout: seconds for all images.

    Returns:
        One response an image.

    Raises:
        VadgenError: no QEMU, a crash, an exit code, no answer in time, a damaged response.
    """
    what = f"the firmware on {board.id}"
    return _run(qemu_command(elf, board), images, output_shapes, want_cells, what, timeout)


def run_host(
    program: Path,
    images: NDArray[Any],
    output_shapes: Sequence[tuple[int, ...]] = (),
    *,
    want_cells: bool = True,
    timeout: float = _DEFAULT_SECONDS,
) -> list[Response]:
    """Scores images with the host's program; else like `run`."""
    what = "the host's program"
    command = [str(program.resolve())]
    return _run(command, images, output_shapes, want_cells, what, timeout)


def stack_high_water(
    elf: Path, board: Board, image: NDArray[Any], timeout: float = _DEFAULT_SECONDS
) -> int:
    """Bytes of stack that start-up and one inference used at most, read from a painted stack.

    Args:
        elf: firmware built for the board.
        board: a board with an emulator.
        image: one image, as in `run`.
        timeout: seconds.

    Raises:
        VadgenError: as `run`.
    """
    what = f"the firmware on {board.id}"
    data = _exchange(qemu_command(elf, board), image[None], _WANT_STACK, what, timeout)
    return _parse(data, 1, (), what)[1]


def qemu_command(elf: Path, board: Board) -> list[str]:
    """The command that runs the firmware in a working folder with `request.bin`.

    Raises:
        VadgenError: the board has no emulator, or QEMU is not installed.
    """
    emulator = board.emulator
    if emulator is None:
        raise VadgenError(
            f"board '{board.id}' has no emulator", "use --on host, or a board whose id is qemu_..."
        )
    package = {tool.program: tool.package for tool in board.tools}[emulator.binary]
    return [
        str(find_program(emulator.binary, package)),
        *("-M", emulator.machine, *emulator.args),
        *("-display", "none", "-monitor", "none", "-serial", "none"),
        *("-semihosting-config", "enable=on,target=native"),
        *("-icount", f"shift={emulator.icount_shift}"),
        *("-kernel", str(elf.resolve())),
    ]


def write_request(path: Path, images: NDArray[Any], flags: int) -> None:
    """Writes `request.bin` for images of one byte a value."""
    assert images.dtype in (np.uint8, np.int8), images.dtype
    head = b"VADQ" + struct.pack("<III", _VERSION, len(images), flags)
    path.write_bytes(head + np.ascontiguousarray(images).tobytes())


def run_in(folder: Path, command: Sequence[str], what: str, timeout: float) -> None:
    """Runs a firmware's command in a folder that holds its request.

    Raises:
        VadgenError: it crashed, gave an exit code or did not end in time.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise VadgenError(
            f"{what} did not answer in {timeout:g} s", "fewer images, or a smaller --input"
        ) from None
    except OSError as error:
        raise VadgenError(
            f"{command[0]} cannot be run: {error.strerror}", "build again for this machine"
        ) from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise VadgenError(
            f"{what} failed: {_reason(done.returncode, said)}",
            "build again; if it stays, this is a fault of the firmware",
        )


def _reason(code: int, said: list[str]) -> str:
    if code in _EXITS and not said:
        return _EXITS[code]
    if code >= _FAULT:
        return f"the core took exception {code - _FAULT}"
    text = next((line for line in said if "fatal" in line.lower()), said[-1] if said else "")
    return f"exit code {code}" + (f" ({text})" if text else "")


def _run(
    command: Sequence[str],
    images: NDArray[Any],
    output_shapes: Sequence[tuple[int, ...]],
    want_cells: bool,
    what: str,
    timeout: float,
) -> list[Response]:
    """Shares the images among as many runs of the command as there are processors."""
    flags = (_WANT_OUTPUTS if output_shapes else 0) | (_WANT_CELLS if want_cells else 0)
    n_runs = max(1, min(len(images), os.cpu_count() or 1))

    def answer(share: NDArray[Any]) -> list[Response]:
        data = _exchange(command, share, flags, what, timeout)
        return _parse(data, len(share), output_shapes, what)[0]

    with ThreadPoolExecutor(n_runs) as pool:
        answers = pool.map(answer, np.array_split(images, n_runs))
        return [response for answer in answers for response in answer]


def _exchange(
    command: Sequence[str], images: NDArray[Any], flags: int, what: str, timeout: float
) -> bytes:
    with tempfile.TemporaryDirectory(prefix="vadgen-") as name:
        folder = Path(name)
        write_request(folder / "request.bin", images, flags)
        run_in(folder, command, what, timeout)
        try:
            return (folder / "response.bin").read_bytes()
        except FileNotFoundError:
            raise VadgenError(f"{what} wrote no response", "build again") from None


def _records(data: bytes, n_images: int, what: str) -> Iterator[tuple[int, int, int, bytes]]:
    """Kind, index, y and bytes of each record, after the head was checked."""
    if data[:12] != b"VADR" + struct.pack("<II", _VERSION, n_images):
        raise VadgenError(f"the response of {what} has a wrong head", "build again")
    at = 12
    while at < len(data):
        end = at + _RECORD.size
        kind, index, y, size = _RECORD.unpack(data[at:end].ljust(_RECORD.size, b"\0"))
        if end + size > len(data):
            raise VadgenError(f"the response of {what} is cut off", "build again")
        yield kind, index, y, data[end : end + size]
        at = end + size


def _parse(
    data: bytes, n_images: int, output_shapes: Sequence[tuple[int, ...]], what: str
) -> tuple[list[Response], int]:
    """Responses of all images, and the stack's high-water mark (0 when not asked for)."""
    responses: list[Response] = []
    stack = 0
    rows: dict[tuple[int, int], bytes] = {}
    result = b""
    for kind, index, y, body in _records(data, n_images, what):
        if kind == _ROW:
            rows[index, y] = body
        elif kind == _RESULT:
            result = bytes([index]) + body
        elif kind == _END:
            if len(result) < 9:
                raise VadgenError(f"{what} ended an image without a result", "build again")
            outputs = tuple(_output(rows, i, shape, what) for i, shape in enumerate(output_shapes))
            responses.append(_response(outputs, result))
            rows, result = {}, b""
        elif kind == _STACK:
            stack = int.from_bytes(body, "little")
    if len(responses) != n_images:
        raise VadgenError(f"{what} answered {len(responses)} of {n_images} images", "build again")
    return responses, stack


def _output(
    rows: dict[tuple[int, int], bytes], index: int, shape: tuple[int, ...], what: str
) -> NDArray[np.int8]:
    """One output from its rows; a vector is one row."""
    height = shape[0] if len(shape) > 1 else 1
    data = b"".join(rows.get((index, y), b"") for y in range(height))
    if len(data) != int(np.prod(shape)):
        raise VadgenError(
            f"{what} sent {len(data)} bytes of output {index}, not {int(np.prod(shape))}",
            "build again",
        )
    return np.frombuffer(data, np.int8).reshape(shape)


def _response(outputs: tuple[NDArray[np.int8], ...], result: bytes) -> Response:
    is_anomalous, score, threshold = struct.unpack("<BII", result[:9])
    cells = np.frombuffer(result[9:], "<u4").astype(np.uint32, copy=False)
    return Response(outputs, cells, score, threshold, bool(is_anomalous))
