"""What is done with a board over the link, once it is known to run the right model."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from vadgen.board import load_board
from vadgen.build.emulator import serving
from vadgen.errors import VadgenError
from vadgen.link.device import Device
from vadgen.link.messages import Identity, Result
from vadgen.link.port import Port, only_port
from vadgen.lower import Program
from vadgen.pipeline.identity import model_digest
from vadgen.pipeline.manifest import read_manifest
from vadgen.pipeline.parity import Run, from_responses
from vadgen.pipeline.staging import shown
from vadgen.progress import Progress

_SHOWN_DIGITS = 12


@dataclass(frozen=True)
class DeviceResult:
    """What a board says of itself.

    Attributes:
        board, firmware, model: which board, made by which vadgen, with which model (hexadecimal).
        port: where it is attached.
        threshold: in use.
        shipped_threshold: that of the build.
        threshold_is_volatile: whether a reset brings the shipped one back; None when not set now.
        stack_bytes: greatest use of the stack so far, of `stack_budget` bytes.
        images, frames, damaged, too_long, refused, misplaced: counted since its last reset.
        overruns: how often bytes were lost since it started, because it could not keep them.
        self_test: whether each built-in image gave its digest; None when not run.
    """

    board: str
    firmware: str
    model: str
    port: str
    threshold: int
    shipped_threshold: int
    threshold_is_volatile: bool | None
    stack_bytes: int
    stack_budget: int
    images: int
    frames: int
    damaged: int
    too_long: int
    refused: int
    misplaced: int
    overruns: int
    self_test: tuple[bool, ...] | None

    def to_json(self) -> dict[str, Any]:
        """As `device --json` prints it."""
        return dict(vars(self))


@dataclass(frozen=True)
class MonitorResult:
    """What a board said until the end.

    Attributes:
        out, port: which build, where.
        scores: of the images that it told of, in order.
        anomalous: how many of them it decided to be defects.
    """

    out: str
    port: str
    scores: tuple[int, ...]
    anomalous: int

    def to_json(self) -> dict[str, Any]:
        """As `monitor --json` prints it."""
        return dict(vars(self))


@dataclass(frozen=True)
class EmulateResult:
    """Which board was emulated, and where its serial port answered."""

    board: str
    out: str
    port: str

    def to_json(self) -> dict[str, Any]:
        """As `emulate --json` prints it."""
        return dict(vars(self))


@contextmanager
def attached(out: Path, port: str) -> Iterator[Device]:
    """Opens a port behind which a board runs the model of `out`.

    Raises:
        VadgenError: it cannot be opened, nothing answers, or the board runs another model.
    """
    with Port(port) as line:
        device = Device(line)
        check_model(device.hello(), out, port)
        yield device


def check_model(identity: Identity, out: Path, port: str) -> None:
    """Refuses a board with another model.

    Raises:
        VadgenError: names both.
    """
    ours, theirs = model_digest(out).hex(), identity.model.hex()
    if ours != theirs:
        raise VadgenError(
            f"{port} runs another model: {theirs[:_SHOWN_DIGITS]} (for {identity.board}), not "
            f"{ours[:_SHOWN_DIGITS]} of {shown(out)}",
            f"`vadgen flash {shown(out)} --port {port}` puts this one there",
        )


def run_on_device(
    device: Device,
    program: Program,
    images: NDArray[Any],
    *,
    detector: bool,
    want_outputs: bool = True,
) -> Run:
    """The firmware of an attached board on images of bytes."""
    shapes = program.output_shapes if want_outputs else ()
    return from_responses([device.score(x, shapes, detector) for x in images], detector)


def self_tests(device: Device) -> tuple[bool, ...]:
    """Whether each of the board's built-in images gives the digest that the build expected."""
    tests = [device.self_test(i) for i in range(device.hello().n_tests)]
    return tuple(test.digest == test.expected for test in tests)


def device(
    out: Path, port: str | None, threshold: int | None, self_test: bool, reset: bool
) -> DeviceResult:
    """Asks an attached board what it is and what it counted.

    Args:
        out: the build that it runs.
        port: None for the only one.
        threshold: a new one, or None.
        self_test: run the built-in images.
        reset: bring it to its state after power-on first.

    Raises:
        VadgenError: as `attached`.
    """
    manifest = read_manifest(out)
    if threshold is not None and not 0 <= threshold < 2**32:
        raise VadgenError(f"{threshold:,} is no score", "a threshold is 0 to 4,294,967,295")
    name = port or only_port()
    with attached(out, name) as board:
        if reset:
            board.reset()
        volatile = None if threshold is None else bool(board.set_threshold(threshold).is_volatile)
        tested = self_tests(board) if self_test else None
        identity, counters = board.hello(), board.counters()
    return DeviceResult(
        identity.board,
        identity.firmware,
        identity.model.hex(),
        name,
        identity.threshold,
        identity.shipped_threshold,
        volatile,
        counters.stack_bytes,
        load_board(manifest["board"]).stack_bytes,
        counters.images,
        counters.frames,
        counters.damaged,
        counters.too_long,
        counters.refused,
        counters.misplaced,
        counters.overruns,
        tested,
    )


def monitor(
    out: Path, port: str | None, seconds: float | None, progress: Progress
) -> MonitorResult:
    """Tells the scores of a board that scores images of its own, as they come, until Ctrl-C.

    Args:
        out: the build that it runs.
        port: None for the only one.
        seconds: None for no end.
        progress: told each score.

    Raises:
        VadgenError: as `attached`.
    """
    name = port or only_port()
    end = float("inf") if seconds is None else time.monotonic() + seconds
    results: list[Result] = []
    with attached(out, name) as board:
        progress.step(f"Listen to {name}")
        with suppress(KeyboardInterrupt):  # the usual end
            while (left := end - time.monotonic()) > 0:
                for message in board.listen(min(left, 1.0)):
                    if isinstance(message, Result):
                        results.append(message)
                        word = "DEFECT" if message.is_anomalous else "good"
                        progress.note(
                            f"{word:<6} {message.score:>12,}  threshold {message.threshold:,}"
                        )
    scores = tuple(result.score for result in results)
    return MonitorResult(shown(out), name, scores, sum(bool(r.is_anomalous) for r in results))


def emulate(out: Path, listen: str, progress: Progress) -> EmulateResult:
    """Runs a firmware on its emulator, its serial port on a TCP socket, until it is interrupted.

    Args:
        out: a build for a board with an emulator.
        listen: `host:port`.
        progress: told the port's name.

    Raises:
        VadgenError: no emulator, no such address, or the emulator ended.
    """
    host, _, number = listen.rpartition(":")
    if not host or not number.isdecimal() or int(number) > 0xFFFF:
        raise VadgenError(f"'{listen}' is no address", "write it as 127.0.0.1:5555")
    board = load_board(read_manifest(out)["board"])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the emulator would go on
    with serving(firmware_of(out), board, host, int(number)) as served:
        progress.step(f"Emulated {board.core} at {served.port}, until Ctrl-C")
        progress.note(f"vadgen verify {shown(out)} --on {served.port}")
        with suppress(KeyboardInterrupt):
            served.wait()
    return EmulateResult(board.id, shown(out), served.port)


def firmware_of(out: Path) -> Path:
    """The compiled firmware of a build.

    Raises:
        VadgenError: it was not compiled here.
    """
    elf = out / "firmware.elf"
    if not elf.is_file():
        raise VadgenError(
            f"{out} holds no firmware.elf", "build for a board with an emulator, such as qemu_m7"
        )
    return elf
