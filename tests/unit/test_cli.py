"""The command line as other programs rely on it: two-line errors, exit codes, one JSON object."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vadgen
from vadgen import cli
from vadgen.errors import Exit, VadgenError

PYTHON_PATH = str(Path(vadgen.__file__).parents[1])


class Result:
    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def to_json(self) -> dict[str, Any]:
        return self.fields


BUILT: dict[str, Any] = {
    "board": "qemu_m7",
    "out": "build/qemu_m7",
    "parity": {"host": True, "emulator": True},
    "needs_tool": None,
    "seconds": 1.0,
}
NEEDS = {"message": "no ESP-IDF", "hint": "finish with: pio run -d x", "command": "pio run -d x"}


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put functions in the pipeline's place: `pipeline(build=lambda *a: ...)`."""

    def put(**functions: Callable[..., Any]) -> None:
        fake = types.ModuleType("vadgen.pipeline")
        for name, function in functions.items():
            setattr(fake, name, function)
        monkeypatch.setitem(sys.modules, "vadgen.pipeline", fake)
        monkeypatch.setattr(vadgen, "pipeline", fake, raising=False)

    return put


def run(*argv: str, cwd: Path | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """The real program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "vadgen", *argv],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": PYTHON_PATH},
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def two_lines(text: str) -> tuple[str, str]:
    error, hint = text.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")
    return error, hint


def raising(error: BaseException) -> Callable[..., Any]:
    def function(*_: Any) -> Any:
        raise error

    return function


# --- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [verb.name for verb in cli.VERBS])
def test_help_has_an_example_and_fits_80_columns(verb: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([verb, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert f"example:\n  vadgen {verb}" in text
    assert "--json" in text and "--debug" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_example_of_every_verb_parses() -> None:
    for verb in cli.VERBS:
        argv = verb.example.split()[1:]
        assert cli._parse([verb.name, *argv]).chosen is verb


def test_without_a_verb_help_is_shown(capsys: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert all(verb.name in out for verb in cli.VERBS)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "error", "hint"),
    [
        (["buld"], "unknown verb 'buld'", "build"),
        (["--json"], "no verb given", "--help"),
        (["build", "--board", "qemu_m7", "--sed", "1"], "'--sed'", "--seed"),
        (["build"], "no board given", "--board"),
        (["build", "--board", "qemu_m7", "--detector", "padm"], '"padm"', "padim"),
        (["build", "--board", "qemu_m7", "--seed", "x"], "--seed", "whole number"),
        (["compile", "m.tflite"], "--board", "--help"),
        (["infer", "out"], "IMAGE", "--help"),
        (["verify", "out", "--seed=1"], "--seed=1", "--help"),
    ],
)
def test_wrong_arguments_are_two_lines(argv: list[str], error: str, hint: str, capsys: Any) -> None:
    assert cli.main(argv) == Exit.INPUT
    told = two_lines(capsys.readouterr().err)
    assert error in told[0]
    assert hint in told[1]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (VadgenError("no images\nin it", "add some"), 1, "no images in it"),
        (VadgenError("too large", "smaller", Exit.DOES_NOT_FIT), 2, "too large"),
        (VadgenError("gcc not found", "apt-get", Exit.TOOL_MISSING), 4, "gcc"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 1, "memory"),
        (OSError(errno.ENOSPC, "No space left on device", "a/b.c"), 1, "disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "a/b.c"), 1, "no permission for a/b.c"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a/b.c"), 1, "a/b.c: No such file"),
        (ModuleNotFoundError("no torch", name="torch"), 4, "'torch'"),
        (ModuleNotFoundError("no part", name="vadgen.part"), 1, "fault in vadgen"),
        (ZeroDivisionError("division by zero"), 1, "fault in vadgen: ZeroDivisionError"),
    ],
)
def test_errors_of_the_pipeline(
    error: BaseException, code: int, said: str, pipeline: Any, capsys: Any
) -> None:
    pipeline(size=raising(error))
    assert cli.main(["size", "out"]) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert said in two_lines(told.err)[0]

    assert cli.main(["size", "out", "--json"]) == code
    told = capsys.readouterr()
    shown = json.loads(told.out)
    assert set(shown) == {"error", "hint", "code"}
    assert shown["code"] == code
    two_lines(told.err)


def test_debug_shows_the_traceback(pipeline: Any, capsys: Any) -> None:
    pipeline(size=raising(ZeroDivisionError("division by zero")))
    assert cli.main(["size", "out", "--debug"]) == Exit.INPUT
    told = capsys.readouterr().err
    assert "Traceback" in told
    two_lines("\n".join(told.splitlines()[-2:]))


def test_hints_spell_the_command_as_it_was_called(tmp_path: Path) -> None:
    told = run("build", cwd=tmp_path)
    assert told.returncode == Exit.INPUT
    assert "`python -m vadgen boards`" in two_lines(told.stderr)[1]


# --- results --------------------------------------------------------------------------------------


def test_json_is_alone_on_stdout(pipeline: Any, capfd: Any) -> None:
    def size(out: Path, *_: object) -> Result:
        print("from Python")
        os.write(1, b"from a C library\n")
        subprocess.run(["echo", "from a child"], check=True)
        return Result(out=out, flash_bytes=10, pixel_auroc=float("nan"), where=[Path("a")])

    pipeline(size=size)
    assert cli.main(["size", "out", "--json"]) == Exit.OK
    told = capfd.readouterr()
    assert json.loads(told.out) == {
        "out": "out",
        "flash_bytes": 10,
        "pixel_auroc": None,
        "where": ["a"],
    }
    for source in ("from Python", "from a C library", "from a child"):
        assert source in told.err


@pytest.mark.parametrize("verb", ["build", "compile"])
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, 0),
        ({"parity": {"host": True, "emulator": None}}, 0),
        ({"parity": {"host": True, "emulator": False}}, 3),
        ({"needs_tool": NEEDS}, 4),
        (
            {
                "parity": {"host": False},
                "needs_tool": NEEDS,
            },
            3,
        ),
    ],
)
def test_exit_code_after_a_result(
    verb: str, change: dict[str, Any], code: int, pipeline: Any, capsys: Any
) -> None:
    def result(*_: Any) -> Result:
        return Result(**{**BUILT, **change})

    pipeline(build=result, compile_model=result)
    argv = ["build"] if verb == "build" else ["compile", "m.tflite"]
    assert cli.main([*argv, "--board", "qemu_m7", "--json"]) == code
    told = capsys.readouterr()
    assert json.loads(told.out)["parity"] == {**BUILT, **change}["parity"]
    if code:
        two_lines(told.err)
    else:
        assert told.err == ""

    assert cli.main([*argv, "--board", "qemu_m7"]) == code
    assert "qemu_m7" in capsys.readouterr().out


def test_build_hands_over_recipe_and_progress(pipeline: Any, tmp_path: Path, capsys: Any) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text('board = "qemu_m4"\nseed = 3\ndata = "parts"\n[padim]\nchannels = 40\n')
    seen: dict[str, Any] = {}

    def build(recipe: Any, out: Any, progress: Any) -> Result:
        progress.step("Fitting")
        seen.update(recipe=recipe, out=out)
        return Result(**BUILT)

    pipeline(build=build)
    argv = ["build", "--recipe", str(recipe), "--seed", "7", "--opq", "--out", "o"]
    assert cli.main(argv) == Exit.OK
    assert seen["recipe"].board == "qemu_m4"
    assert seen["recipe"].seed == 7
    assert seen["recipe"].data == tmp_path / "parts"
    assert seen["recipe"].padim.channels == 40
    assert seen["recipe"].patchcore.opq is True
    assert seen["out"] == Path("o")
    told = capsys.readouterr()
    assert told.err == "Fitting\n"
    assert "Fitting" not in told.out


@pytest.mark.parametrize(
    ("argv", "function", "expected"),
    [
        (["verify", "o"], "verify", (Path("o"), "auto")),
        (["verify", "o", "--on", "/dev/ttyS0"], "verify", (Path("o"), "/dev/ttyS0")),
        (
            ["infer", "o", "a.png", "b.png", "--map", "m"],
            "infer",
            (Path("o"), [Path("a.png"), Path("b.png")], "host", Path("m")),
        ),
        (["evaluate", "o", "--data", "d"], "evaluate", (Path("o"), Path("d"), "host")),
        (["flash", "o", "--port", "COM3"], "flash", (Path("o"), ("COM3",))),
        (["flash", "o", "--ports", "COM3, COM4"], "flash", (Path("o"), ("COM3", "COM4"))),
        (["monitor", "o"], "monitor", (Path("o"), None)),
        (["clean"], "clean", (None,)),
        (["demo-data", "d", "--seed", "2"], "demo_data", (Path("d"), 2)),
    ],
)
def test_verbs_hand_over_their_arguments(
    argv: list[str], function: str, expected: tuple[Any, ...], pipeline: Any, capsys: Any
) -> None:
    seen: list[Any] = []

    def record(*args: Any) -> Result:
        seen.extend(args)
        return Result(threshold=1, images=[])

    pipeline(**{function: record})
    assert cli.main([*argv, "--json"]) == Exit.OK
    assert tuple(seen[: len(expected)]) == expected
    assert json.loads(capsys.readouterr().out) == {"threshold": 1, "images": []}


# --- the real program -----------------------------------------------------------------------------


def test_boards_lists_every_board_in_80_columns(tmp_path: Path) -> None:
    told = run("boards", cwd=tmp_path)
    assert (told.returncode, told.stderr) == (0, "")
    assert "\x1b" not in told.stdout
    lines = [line for line in told.stdout.splitlines() if "apt-get" not in line]
    assert max(map(len, lines)) <= 80

    boards = json.loads(run("boards", "--json", cwd=tmp_path).stdout)["boards"]
    assert {"qemu_m7", "qemu_m4", "host", "esp32s3"} <= {board["id"] for board in boards}
    for board in boards:
        assert board["id"] in told.stdout
        assert board["tools"] == (board["missing"] is None)
    by_id = {board["id"]: board for board in boards}
    assert by_id["qemu_m7"]["flash_bytes"] == 2 << 20
    assert by_id["host"]["flash_bytes"] is None


@pytest.mark.parametrize("argv", [["-c", "import vadgen"], ["-m", "vadgen", "boards"]])
def test_start_is_fast(argv: list[str], tmp_path: Path) -> None:
    """Processor time, the least of three, so that a busy machine does not fail it."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, *argv],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": PYTHON_PATH},
            capture_output=True,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.3


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    told = subprocess.run(
        [sys.executable, "-m", "vadgen", "boards"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": PYTHON_PATH},
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write_end)
    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_full_disk_behind_stdout_is_two_lines(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        told = subprocess.run(
            [sys.executable, "-m", "vadgen", "boards"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": PYTHON_PATH},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert told.returncode == Exit.INPUT
    assert "disk is full" in two_lines(told.stderr)[0]


def test_ascii_terminals_get_ascii(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "vadgen", "boards"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": PYTHON_PATH, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert told.returncode == 0
    assert told.stdout.isascii()
    assert b"yes" in told.stdout
