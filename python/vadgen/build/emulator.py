"""Runs firmware on an emulated board, or the host's program, over request and response files.

The files hold the frames of a session of the link (docs/link.md), one direction each.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from vadgen.board import Board
from vadgen.build.tools import find_program
from vadgen.errors import VadgenError
from vadgen.link.frames import FrameReader, encode
from vadgen.link.messages import (
    Begin,
    Cells,
    Counters,
    GetCells,
    GetCounters,
    Message,
    Output,
    Refused,
    Result,
    Row,
    Want,
    refusal,
)
from vadgen.link.response import Collector, Response

_FAULT = 0xF0
_EXITS = {
    1: "it could not open its request or response file",
    2: "the request ended early",
    3: "it could not write its response (is the disk full?)",
    4: "an assertion of a library failed",
}
_ALL_CELLS = 2**32 - 1
DEFAULT_SECONDS = 1800.0


def run(
    elf: Path,
    board: Board,
    images: NDArray[Any],
    output_shapes: Sequence[tuple[int, ...]] = (),
    *,
    want_cells: bool = True,
    timeout: float = DEFAULT_SECONDS,
) -> list[Response]:
    """Scores images on the board's emulator, or here where the board is this computer.

    Args:
        elf: firmware built for the board.
        board: a board that runs here.
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
    return _run(_command(elf, board), images, output_shapes, want_cells, what, timeout)


def answer(elf: Path, board: Board, timeout: float = DEFAULT_SECONDS) -> bytes:
    """What a program on the port of a board that runs here writes without being asked anything.

    Raises:
        VadgenError: as `run`.
    """
    return _exchange(_command(elf, board), b"", f"the program on {board.id}", timeout)


def run_host(
    program: Path,
    images: NDArray[Any],
    output_shapes: Sequence[tuple[int, ...]] = (),
    *,
    want_cells: bool = True,
    timeout: float = DEFAULT_SECONDS,
) -> list[Response]:
    """Scores images with the host's program; else like `run`."""
    what = "the host's program"
    command = [str(program.resolve())]
    return _run(command, images, output_shapes, want_cells, what, timeout)


def stack_high_water(
    elf: Path, board: Board, image: NDArray[Any], timeout: float = DEFAULT_SECONDS
) -> int:
    """Bytes of stack that start-up and one inference used at most, read from a painted stack.

    The outputs' rows and the cells are asked for, too: sending them is what goes deepest.

    Args:
        elf: firmware built for the board.
        board: a board with an emulator.
        image: one image, as in `run`.
        timeout: seconds.

    Raises:
        VadgenError: as `run`.
    """
    what = f"the firmware on {board.id}"
    ends = encode(GetCells(1, 0, _ALL_CELLS), 0), encode(GetCounters(), 0)
    request = b"".join([*_image_frames(1, image, Want.OUTPUTS), *ends])
    data = _exchange(qemu_command(elf, board), request, what, timeout)
    counters = [m for m in _messages(data, what) if isinstance(m, Counters)]
    return counters[0].stack_bytes


def qemu_command(elf: Path, board: Board) -> list[str]:
    """The command that runs the firmware in a working folder with `request.bin`.

    Raises:
        VadgenError: as `_machine`.
    """
    shift = board.emulator.icount_shift if board.emulator else 0
    return _machine(elf, board, "-serial", "none", "-icount", f"shift={shift}")


def _command(elf: Path, board: Board) -> list[str]:
    return [str(elf.resolve())] if board.port == "host" else qemu_command(elf, board)


def _machine(elf: Path, board: Board, *more: str) -> list[str]:
    """The board's emulator with a firmware, which is its last argument.

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
        *("-display", "none", "-monitor", "none"),
        *("-semihosting-config", "enable=on,target=native"),
        *more,
        *("-kernel", str(elf.resolve())),
    ]


@dataclass(frozen=True)
class Served:
    """An emulated board that runs.

    Attributes:
        port: name of its serial port, `socket://host:port`.
        process: the emulator.
    """

    port: str
    process: subprocess.Popen[str]

    def wait(self) -> NoReturn:
        """Waits until the emulator ends, which it does by itself only after a fault.

        Raises:
            VadgenError: always; says why it ended.
        """
        _, said = self.process.communicate()
        reason = _reason(self.process.returncode, said.strip().splitlines())
        raise VadgenError(f"the emulator ended: {reason}", "build again")


@contextmanager
def serving(elf: Path, board: Board, host: str = "127.0.0.1", port: int = 0) -> Iterator[Served]:
    """Runs the firmware with its serial port on a TCP socket, until the block ends.

    Args:
        elf: firmware built for the board.
        board: a board with an emulator.
        host: address to listen at.
        port: 0 for one that is free.

    Raises:
        VadgenError: no QEMU, or it cannot listen there.
    """
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        raise VadgenError(
            f"{host}:{port} cannot be listened at: {error.strerror}", "name another --listen"
        ) from None
    with listener, tempfile.TemporaryDirectory(prefix="vadgen-") as folder:
        number = listener.fileno()
        chardev = f"socket,id=uart,fd={number},server=on,wait=off"
        with subprocess.Popen(
            _machine(elf, board, "-chardev", chardev, "-serial", "chardev:uart"),
            cwd=folder,  # with a request.bin there, the firmware would answer that
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[number],
            text=True,
            errors="replace",
        ) as process:
            try:
                yield Served(f"socket://{host}:{listener.getsockname()[1]}", process)
            finally:
                process.kill()


def request_of(images: NDArray[Any], wants: Want = Want.NOTHING, want_cells: bool = False) -> bytes:
    """All frames of a session that scores images of one byte a value, numbered from 1."""
    assert images.dtype in (np.uint8, np.int8), images.dtype
    frames: list[bytes] = []
    for job, image in enumerate(images, 1):
        frames += _image_frames(job, image, wants)
        if want_cells:
            frames.append(encode(GetCells(job, 0, _ALL_CELLS), 0))
    return b"".join(frames)


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


def _image_frames(job: int, image: NDArray[Any], wants: Want) -> Iterator[bytes]:
    yield encode(Begin(job, wants), 0)
    for y, row in enumerate(np.ascontiguousarray(image)):
        yield encode(Row(job, y, 0, row.tobytes()), 0)


def _run(
    command: Sequence[str],
    images: NDArray[Any],
    output_shapes: Sequence[tuple[int, ...]],
    want_cells: bool,
    what: str,
    timeout: float,
) -> list[Response]:
    """Shares the images among as many runs of the command as there are processors."""
    wants = Want.OUTPUTS if output_shapes else Want.NOTHING
    n_runs = max(1, min(len(images), os.cpu_count() or 1))

    def answer(share: NDArray[Any]) -> list[Response]:
        data = _exchange(command, request_of(share, wants, want_cells), what, timeout)
        collectors = {job: Collector(output_shapes, what) for job in range(1, len(share) + 1)}
        for message in _messages(data, what):
            if isinstance(message, Output | Result | Cells) and message.job in collectors:
                collectors[message.job].take(message)
        return [collector.response(want_cells) for collector in collectors.values()]

    with ThreadPoolExecutor(n_runs) as pool:
        answers = pool.map(answer, np.array_split(images, n_runs))
        return [response for answer in answers for response in answer]


def _exchange(command: Sequence[str], request: bytes, what: str, timeout: float) -> bytes:
    with tempfile.TemporaryDirectory(prefix="vadgen-") as name:
        folder = Path(name)
        (folder / "request.bin").write_bytes(request)
        run_in(folder, command, what, timeout)
        try:
            return (folder / "response.bin").read_bytes()
        except FileNotFoundError:
            raise VadgenError(f"{what} wrote no response", "build again") from None


def _messages(data: bytes, what: str) -> Iterator[Message]:
    """The messages of a response; files damage nothing, so all must be whole.

    Raises:
        VadgenError: damaged or cut off, or a request was refused.
    """
    reader = FrameReader()
    for frame in reader.take(data):
        message = frame.message
        if isinstance(message, Refused):
            raise VadgenError(
                f"{what} failed: {refusal(message)}",
                "build again; if it stays, this is a fault of the firmware",
            )
        if message is not None:
            yield message
    if reader.damaged or not data.endswith(b"\0"):
        raise VadgenError(f"the response of {what} is damaged", "build again")
