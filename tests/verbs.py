"""Runs verbs in this process and checks how they fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vadgen import cli
from vadgen.errors import Exit

TINY = ("--backbone", "tiny", "--input", "32")
PADIM = ("--detector", "padim")
PATCHCORE = ("--detector", "patchcore", "--search", "flat", "--codes", "40", "--bits", "8")
STUDENT = ("--detector", "paste", "--epochs", "100")
CFA = ("--detector", "cfa", "--epochs", "3")
QUANTIZED = ("--detector", "patchcore", "--search", "adc", "--codes", "40", "--bits", "4")


def run_json(capfd: Any, *argv: object, code: int = Exit.OK) -> Any:
    """The object that a verb prints with `--json`; the verb must end with `code`."""
    capfd.readouterr()
    got = cli.main([*map(str, argv), "--json"])
    told = capfd.readouterr()
    assert got == code, told.err
    return json.loads(told.out)


def fails(capfd: Any, code: int, *argv: object) -> str:
    """The two lines of a verb that must end with `code`."""
    capfd.readouterr()
    got = cli.main([str(a) for a in argv])
    err = capfd.readouterr().err
    assert got == code, err
    last = err.splitlines()[-2:]
    assert last[0].startswith("error: ") and last[1].startswith("hint: "), err
    assert "fault in vadgen" not in err and "Traceback" not in err
    return "\n".join(last)


def files(root: Path) -> dict[str, bytes]:
    """Content of every file below a folder."""
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
