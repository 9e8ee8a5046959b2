"""Boards: every file reads, wrong files are refused with the nearest name, reading is cheap."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from vadgen import cli
from vadgen.board import UNLIMITED, list_boards, load_board, parse_board
from vadgen.errors import Exit, VadgenError

MINIMAL = """
title = "A board"
core = "cortex-m4"
kernels = ["dsp", "portable"]
port = "emulated"
[memory.flash]
origin = 0
size = 1024
[memory.ram]
origin = 0x20000000
size = 512
[toolchain]
prefix = "arm-none-eabi-"
[tools]
arm-none-eabi-gcc = "gcc-arm-none-eabi"
"""


@pytest.mark.parametrize("name", list_boards())
def test_every_board_is_whole(name: str) -> None:
    board = load_board(name)
    assert board.id == name
    assert board.kernels[-1] == "portable"
    assert 0 < board.ram_bytes <= board.flash_bytes
    if board.is_in_project:
        assert board.tools and board.packages
    else:
        assert re.fullmatch(r"[a-z0-9]+@\d+\.\d+\.\d+", board.platformio.platform)
        assert board.platformio.board and board.platformio.framework
    if board.emulator:
        assert board.emulator.binary in [tool.program for tool in board.tools]
        assert board.stack_bytes > 0


def test_budgets_are_those_of_the_chips() -> None:
    m7, m4 = load_board("qemu_m7"), load_board("qemu_m4")
    assert (m7.flash_bytes, m7.ram_bytes) == (2 << 20, 1 << 20)
    assert (m4.flash_bytes, m4.ram_bytes) == (1 << 20, 128 << 10)
    assert load_board("host").flash_bytes == UNLIMITED


def test_unknown_board_names_the_nearest() -> None:
    with pytest.raises(VadgenError) as caught:
        load_board("qemu_m77")
    assert caught.value.code is Exit.INPUT
    assert "qemu_m7" in caught.value.hint


def test_a_minimal_file_reads() -> None:
    board = parse_board("x", MINIMAL, "x.toml")
    assert board.ram_bytes == 512
    assert board.packages == ("gcc-arm-none-eabi",)


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ('core = "cortex-m4"', 'cor = "cortex-m4"', "unknown key 'cor'", "core"),
        ('core = "cortex-m4"', "", "key 'core' is missing", "core"),
        ('core = "cortex-m4"', "core = 4", "key 'core' has the wrong type", "a text"),
        ("size = 1024", "size = -1", "key 'size' has the wrong type", "not negative"),
        ("size = 1024", "size = true", "key 'size' has the wrong type", "whole number"),
        ('["dsp", "portable"]', '["dsp", 1]', "key 'kernels' has the wrong type", "list of texts"),
        ('["dsp", "portable"]', '["dsp"]', "'kernels' must end with", "add"),
        ("[memory.ram]", "[memory.rom]", "needs both", "add"),
        ("[toolchain]", "[tolchain]", "unknown key 'tolchain'", "toolchain"),
        ("prefix =", "prefx =", "unknown key 'prefx'", "prefix"),
        ("[toolchain]", "[emulator]", "unknown key 'prefix'", ""),
        ("size = 512", "size 512", "not valid TOML", ""),
        ("title =", "emulator = 3\ntitle =", "[emulator] is not a table", "table"),
    ],
)
def test_wrong_files_are_refused(old: str, new: str, message: str, hint: str) -> None:
    with pytest.raises(VadgenError) as caught:
        parse_board("x", MINIMAL.replace(old, new, 1), "x.toml")
    assert message in caught.value.message
    assert "x.toml" in caught.value.message
    assert hint in caught.value.hint


def test_reading_boards_imports_nothing_heavy() -> None:
    code = (
        "import sys, vadgen.board as b, vadgen.build.tools as t\n"
        "[t.missing_tools(b.load_board(n)) for n in b.list_boards()]\n"
        "print([m for m in ('numpy', 'jinja2', 'torch', 'platformio') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_with_path()
    )
    assert done.stdout.strip() == "[]"


def _with_path() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_the_workflow_builds_every_real_board() -> None:
    """It is YAML, its steps are whole, its commands are ones that vadgen takes."""
    path = Path(__file__).parents[2] / ".github" / "workflows" / "boards.yml"
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(workflow) == {"name", True, "permissions", "jobs"}  # YAML 1.1 reads `on` as true
    assert workflow["permissions"] == {"contents": "read"}
    job = workflow["jobs"]["firmware"]
    real = [name for name in list_boards() if not load_board(name).is_in_project]
    matrix = job["strategy"]["matrix"]
    assert matrix["board"] == real and {extra["board"] for extra in matrix["include"]} <= set(real)
    runs = [{"board": real[0], "kernels": ""}, *matrix["include"]]
    commands = []
    for step in job["steps"]:
        assert ("uses" in step) != ("run" in step)
        assert set(step) <= {"uses", "with", "run"}
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])
        else:
            commands += [_filled(step["run"], run).split() for run in runs]
    assert not any("$" in word for command in commands for word in command)
    verbs = [command[3:] for command in commands if command[:3] == ["python", "-m", "vadgen"]]
    parser, _ = cli._parser()
    outs = [Path(f"firmware-{run['board']}") for run in runs]
    assert [parser.parse_args(words).out for words in verbs] == outs * 2


def _filled(command: str, run: dict[str, str]) -> str:
    """A workflow's command with the values of a run of its matrix."""
    for name, value in run.items():
        command = command.replace(f"${{{{ matrix.{name} }}}}", value)
        given = r"\1" if value else ""
        command = re.sub(rf"\$\{{\{{ matrix\.{name} && '([^']*)' \}}\}}", given, command)
    return command
