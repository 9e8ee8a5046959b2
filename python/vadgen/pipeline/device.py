"""`monitor`: what PlatformIO does with a board that is attached."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vadgen.board import Board, load_board
from vadgen.errors import VadgenError
from vadgen.pipeline.manifest import read_manifest
from vadgen.pipeline.staging import shown


@dataclass(frozen=True)
class DeviceResult:
    """What was done with which board."""

    board: str
    out: str
    port: str | None

    def to_json(self) -> dict[str, Any]:
        """As `monitor --json` prints it."""
        return dict(vars(self))


def monitor(out: Path, port: str | None) -> DeviceResult:
    """Shows what the board says, until Ctrl-C.

    Raises:
        VadgenError: the board is emulated, or the port cannot be opened.
    """
    board = _attached(out)
    ports = [] if port is None else ["-p", port]
    _pio(["device", "monitor", "-d", str(out / "firmware"), "-e", board.id, *ports])
    return DeviceResult(board.id, shown(out), port)


def _attached(out: Path) -> Board:
    """The board of an output, unless it only exists as an emulator or as this computer."""
    board = load_board(read_manifest(out)["board"])
    if board.is_in_project:
        raise VadgenError(
            f"{board.id} is no board that can be attached",
            f"`vadgen verify {shown(out)}` runs its firmware here",
        )
    return board


def _pio(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "platformio", *arguments], stdout=sys.stderr, check=False
    )
    if done.returncode:
        raise VadgenError(
            f"`pio {' '.join(arguments)}` failed", "its own message stands above; name the --port"
        )
