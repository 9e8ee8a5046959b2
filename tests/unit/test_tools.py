"""Tools: what is missing is named with its Debian package."""

from __future__ import annotations

from pathlib import Path

import pytest

from vadgen.board import load_board
from vadgen.build import tools
from vadgen.errors import Exit, VadgenError


@pytest.fixture
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tools.tool_is_here.cache_clear()
    tools.version_of.cache_clear()
    yield
    tools.tool_is_here.cache_clear()
    tools.version_of.cache_clear()


@pytest.mark.usefixtures("empty_path")
@pytest.mark.parametrize(
    ("board", "programs", "packages"),
    [
        (
            "qemu_m7",
            "arm-none-eabi-gcc, libc.a, qemu-system-arm",
            "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm",
        ),
        (
            "qemu_lx106",
            "xtensa-lx106-elf-gcc, libc.a, qemu-system-xtensa",
            "gcc-xtensa-lx106 picolibc-xtensa-lx106-elf qemu-system-misc",
        ),
    ],
)
def test_missing_tools_name_their_packages(board: str, programs: str, packages: str) -> None:
    with pytest.raises(VadgenError) as caught:
        tools.require_tools(load_board(board))
    assert caught.value.code is Exit.TOOL_MISSING
    assert programs in caught.value.message
    assert caught.value.hint == f"sudo apt-get install {packages}"


@pytest.mark.usefixtures("empty_path")
def test_a_missing_program_is_an_error_and_has_no_version() -> None:
    with pytest.raises(VadgenError, match="gcc not found"):
        tools.find_program("gcc", "gcc")
    assert tools.version_of("gcc") == ""
    assert tools.tool_versions(load_board("host")) == {}


def test_versions_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = {
        "a-gcc": "a-gcc (15:12.2.rel1-1) 12.2.1 20221205",
        "qemu": "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)",
    }
    for name, line in lines.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{line}'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert tools.version_of("a-gcc") == "12.2.1"
    assert tools.version_of("qemu") == "7.2.22"
