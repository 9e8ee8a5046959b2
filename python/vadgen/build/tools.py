"""Programs that builds and runs need: where they are, which package brings them, their versions."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from vadgen.board import Board, Tool
from vadgen.errors import Exit, VadgenError


def missing_tools(board: Board) -> tuple[Tool, ...]:
    """Tools of the board that are not installed here."""
    prefix = board.toolchain.prefix if board.toolchain else ""
    flags = board.toolchain.flags if board.toolchain else ()
    return tuple(
        tool for tool in board.tools if not tool_is_here(tool.program, f"{prefix}gcc", flags)
    )


def require_tools(board: Board) -> None:
    """Checks that all tools of the board are here.

    Raises:
        VadgenError: TOOL_MISSING; names the programs and the command that installs them.
    """
    missing = missing_tools(board)
    if missing:
        raise missing_error(missing)


def missing_error(missing: Iterable[Tool]) -> VadgenError:
    """The error for tools that are not installed."""
    tools = tuple(missing)
    programs = ", ".join(tool.program for tool in tools)
    packages = " ".join(dict.fromkeys(tool.package for tool in tools))
    return VadgenError(
        f"{programs} not found", f"sudo apt-get install {packages}", Exit.TOOL_MISSING
    )


def find_program(program: str, package: str) -> Path:
    """The program's path.

    Raises:
        VadgenError: TOOL_MISSING; names the Debian package.
    """
    path = shutil.which(program)
    if path is None:
        raise missing_error([Tool(program, package)])
    return Path(path)


@functools.cache
def version_of(program: str) -> str:
    """The version that `program --version` prints, as in "12.2.1"; "" when there is none."""
    path = shutil.which(program)
    if path is None:
        return ""
    first = _output([path, "--version"]).partition("\n")[0]
    found = re.search(r"\b\d+\.\d+(\.\d+)?", re.sub(r"\([^)]*\)", "", first))
    return found.group() if found else ""


def tool_versions(board: Board) -> dict[str, str]:
    """Versions of the board's programs that are installed, by program, for the manifest."""
    programs = (tool.program for tool in board.tools if not _is_compiler_file(tool.program))
    found = {program: version_of(program) for program in programs}
    return {program: version for program, version in found.items() if version}


@functools.cache
def tool_is_here(program: str, compiler: str, flags: tuple[str, ...]) -> bool:
    """Whether a program, or a file of the compiler under its flags, is installed."""
    if not _is_compiler_file(program):
        return shutil.which(program) is not None
    path = shutil.which(compiler)
    if path is None:
        return False
    # A compiler prints the bare name of a file that it does not find.
    return "/" in _output([path, *flags, f"-print-file-name={program}"])


def _is_compiler_file(name: str) -> bool:
    return name.endswith((".a", ".specs"))


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=False
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
