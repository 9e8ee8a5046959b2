"""Puts firmware into an attached board: with esptool, PlatformIO's upload, or a GDB server."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from vadgen.board import Board, Tool
from vadgen.build.elf import read_elf
from vadgen.build.platformio import platform_is_installed
from vadgen.build.tools import missing_error
from vadgen.errors import Exit, VadgenError

GDB = "gdb://"
_BAUD = 460800
_SECONDS = 600
_DEBUGGERS = ("gdb-multiarch", "arm-none-eabi-gdb")


def find_images(board: Board, out: Path) -> dict[int, Path]:
    """What esptool writes, by offset: kept by the build, or made by `pio run` in its project.

    Raises:
        VadgenError: TOOL_MISSING; they are not compiled.
    """
    assert board.flash is not None
    for folder in (out / "flash", out / "firmware" / ".pio" / "build" / board.id):
        files = {at: folder / name for name, at in board.flash.places.items()}
        if all(path.is_file() for path in files.values()):
            return files
    raise not_compiled(board, out)


def not_compiled(board: Board, out: Path) -> VadgenError:
    """The error for a firmware that was not compiled on this computer."""
    return VadgenError(
        f"the firmware for {board.id} is not compiled yet",
        f"pio run -d {out / 'firmware'}",
        Exit.TOOL_MISSING,
    )


def keep_images(board: Board, project: Path, out: Path) -> None:
    """Copies what esptool writes from PlatformIO's folder to `out/flash`."""
    if board.flash is None or not board.flash.images:
        return
    (out / "flash").mkdir()
    for name in board.flash.places:
        shutil.copyfile(project / ".pio" / "build" / board.id / name, out / "flash" / name)


def check_port(port: str) -> None:
    """Checks that a port is there.

    Args:
        port: `/dev/ttyUSB0`, `COM3`, `socket://host:port` or `gdb://host:port`.

    Raises:
        VadgenError: it is not, or cannot be opened.
    """
    address = re.fullmatch(r"(?:socket|gdb)://([^:/]+):(\d+)/?", port)
    if address:
        try:
            socket.create_connection((address[1], int(address[2])), timeout=5).close()
        except OSError as error:
            raise VadgenError(
                f"nothing answers at {port}: {error.strerror or error}", "is the server running?"
            ) from None
        return
    if re.fullmatch(r"COM\d+", port, re.IGNORECASE):
        return
    if not os.path.exists(port):
        raise VadgenError(
            f"there is no port {port}", "is the board attached, with a cable that carries data?"
        )
    if not os.access(port, os.R_OK | os.W_OK):
        raise VadgenError(
            f"{port} may not be opened",
            "sudo usermod -a -G dialout $USER, then log in again",
        )


def flash_esptool(board: Board, images: dict[int, Path], port: str) -> None:
    """Writes images with esptool, which compares their digests with the chip's flash.

    Raises:
        VadgenError: TOOL_MISSING without esptool; what esptool said.
    """
    assert board.flash is not None
    if importlib.util.find_spec("esptool") is None:
        raise VadgenError(
            "esptool is not installed",
            "pip install 'vadgen[flash]', or esptool itself",
            Exit.TOOL_MISSING,
        )
    pairs = [word for at, path in images.items() for word in (hex(at), str(path))]
    head = ["--chip", board.flash.chip, "--port", port, "--baud", str(_BAUD)]
    _run([sys.executable, "-m", "esptool", *head, "write-flash", *pairs], "esptool", port)


def flash_platformio(board: Board, project: Path, port: str | None) -> None:
    """Uploads with the board's platform, which builds what has changed.

    Raises:
        VadgenError: TOOL_MISSING without the platform; what PlatformIO said.
    """
    if not platform_is_installed(board):
        raise VadgenError(
            f"PlatformIO's platform {board.platformio.platform} is not installed",
            f"pio run -d {project} -t upload",
            Exit.TOOL_MISSING,
        )
    ports = [] if port is None else ["--upload-port", port]
    command = ["-m", "platformio", "run", "-d", str(project), "-e", board.id, "-t", "upload"]
    _run([sys.executable, *command, *ports], "PlatformIO", port or board.id)


def flash_gdb(elf: Path, port: str) -> None:
    """Loads an Arm firmware over a GDB server, compares it, and starts it.

    Args:
        elf: the firmware.
        port: `gdb://host:port` of OpenOCD, a J-Link, or QEMU.

    Raises:
        VadgenError: TOOL_MISSING without a debugger; what it said.
    """
    debugger = next((path for name in _DEBUGGERS if (path := shutil.which(name))), None)
    if debugger is None:
        raise missing_error([Tool(_DEBUGGERS[0], _DEBUGGERS[0])])
    vectors = min(
        section.address
        for section in read_elf(elf).sections
        if section.name in (".vectors", ".isr_vector")
    )
    steps = [
        "set confirm off",
        "set tcp connect-timeout 10",
        f"target extended-remote {port.removeprefix(GDB)}",
        "load",
        "compare-sections",
        # As after a reset; the program counter is where `load` put it.
        f"set $sp = *(unsigned int *){vectors:#x}",
        "set $xpsr = 0x01000000",
        "detach",
    ]
    words = [word for step in steps for word in ("-ex", step)]
    said = _run([debugger, "-nx", "-q", "-batch", *words, str(elf)], Path(debugger).name, port)
    if "MIS-MATCHED" in said or "matched." not in said:
        raise VadgenError(
            f"{port}: the memory does not hold what was written", "is it this board's flash?"
        )


def _run(command: list[str], what: str, port: str) -> str:
    """Runs a program to its end and returns what it said."""
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise VadgenError(f"{what} did not finish in {_SECONDS} s on {port}", "try again") from None
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"error|failed|refused|timed out", line, re.I)]
    if done.returncode or (what in _DEBUGGERS and errors):
        reason = (errors or lines or ["it said nothing"])[-1]
        raise VadgenError(
            f"{what} could not flash {port}: {reason}",
            "check cable and port; some boards need their boot button held while it starts",
        )
    return done.stdout
