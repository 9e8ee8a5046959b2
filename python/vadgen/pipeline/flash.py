"""`flash`: checks a firmware and its port, then puts the one into the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vadgen.board import Board, load_board
from vadgen.build import flashing
from vadgen.errors import Exit, VadgenError
from vadgen.pipeline.attached import attached, self_tests
from vadgen.pipeline.manifest import read_manifest, sha256_file
from vadgen.pipeline.staging import shown
from vadgen.progress import Progress


@dataclass(frozen=True)
class Flashed:
    """One board.

    Attributes:
        port: where it is attached; None where PlatformIO finds it.
        method: "esptool", "platformio" or "gdb".
        seconds: what it took.
        self_test: whether the board, asked afterwards, gives the right bytes for each image built
            into it; None where it was not asked.
        error: what went wrong, or None.
        hint: what to do about it, or None.
        code: the error's exit code, 0 without.
    """

    port: str | None
    method: str
    seconds: float
    self_test: tuple[bool, ...] | None = None
    error: str | None = None
    hint: str | None = None
    code: int = 0


@dataclass(frozen=True)
class FlashResult:
    """What was done with which boards."""

    board: str
    out: str
    flashed: tuple[Flashed, ...]

    def to_json(self) -> dict[str, Any]:
        """As `flash --json` prints it."""
        return {"board": self.board, "out": self.out, "flashed": [asdict(f) for f in self.flashed]}


def flash(
    out: Path, ports: Sequence[str | None], progress: Progress, checks: bool = True
) -> FlashResult:
    """Puts the firmware of `out` into every board; one that fails does not keep the others.

    Args:
        out: what `build` or `compile` wrote.
        ports: where boards are attached; None leaves the search to PlatformIO.
        progress: told each step.
        checks: afterwards ask a board at a serial port for its model and its self-test.

    Raises:
        VadgenError: the firmware is not the one that was built for this board and model; with a
            single port, also what went wrong there.
    """
    manifest = read_manifest(out)
    board = load_board(manifest["board"])
    check_firmware(out, manifest)
    flashed = []
    for port in ports:
        progress.step(f"Flash {port or board.id}")
        started = time.monotonic()
        method = _method(board, port)
        try:
            _steps(board, out, port, method)()
            tested = None
            if checks and port is not None and method != "gdb":
                tested = _check(out, board, port)
        except VadgenError as error:
            if len(ports) == 1:
                raise
            took = round(time.monotonic() - started, 1)
            failure = (error.message, error.hint, int(error.code))
            flashed.append(Flashed(port, method, took, None, *failure))
        else:
            flashed.append(Flashed(port, method, round(time.monotonic() - started, 1), tested))
    return FlashResult(board.id, shown(out), tuple(flashed))


def check_firmware(out: Path, manifest: dict[str, Any]) -> None:
    """Checks that firmware, project and model are those that the build wrote.

    Raises:
        VadgenError: the first file that is missing or has other bytes.
    """
    for name, digest in manifest["outputs"].items():
        if not name.startswith(("firmware", "flash/", "model.")):
            continue
        path = out / name
        if not path.is_file() or sha256_file(path) != digest:
            state = "is not what the build wrote" if path.is_file() else "is missing"
            raise VadgenError(
                f"{shown(path)} {state}: the firmware is not known to be of this model",
                "build again, or use PlatformIO itself on a project of your own",
            )


def _check(out: Path, board: Board, port: str) -> tuple[bool, ...]:
    """Asks the board, once it has started, who it is, and has it test itself.

    Raises:
        VadgenError: no answer, another board or model; PARITY if it gives other bytes.
    """
    with attached(out, port) as device:
        name, tested = device.hello().board, self_tests(device)
    if name != board.id:
        raise VadgenError(
            f"the board at {port} says it is {name}, not {board.id}", "is another board there, too?"
        )
    if not all(tested):
        raise VadgenError(
            f"the board at {port} fails its self-test: it gives other bytes than the build",
            "flash it again; if it stays, its memory or its clock is at fault",
            Exit.PARITY,
        )
    return tested


def _method(board: Board, port: str | None) -> str:
    if port is not None and port.startswith(flashing.GDB):
        return "gdb"
    if board.flash is None:
        raise VadgenError(
            f"{board.id} is no board that can be attached",
            f"an emulator's debug port can be flashed: --port {flashing.GDB}127.0.0.1:1234",
        )
    return board.flash.method


def _steps(board: Board, out: Path, port: str | None, method: str) -> Callable[[], None]:
    """What to do, once firmware and port are known to be there."""
    if port is not None:
        flashing.check_port(port)
    if method == "platformio":
        return lambda: flashing.flash_platformio(board, out / "firmware", port)
    if port is None:
        raise VadgenError("no port given", "add --port /dev/ttyUSB0, or where the board is")
    if method == "esptool":
        images = flashing.find_images(board, out)
        return lambda: flashing.flash_esptool(board, images, port)
    if not board.core.startswith("cortex-"):
        raise VadgenError(
            f"{board.id} has no Arm core: a GDB server is no way to flash it",
            "name a serial port, such as --port /dev/ttyUSB0",
            Exit.INPUT,
        )
    elf = out / "firmware.elf"
    if not elf.is_file():
        raise flashing.not_compiled(board, out)
    return lambda: flashing.flash_gdb(elf, port)
