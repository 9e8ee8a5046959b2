"""Exact instruction counts of one inference on an emulated core, by function and by step.

QEMU counts with a small plugin (`firmware/emulator/icount.c`) that is compiled for the QEMU that is
installed. The firmware is not changed: it calls two empty markers around the model, and what runs
between them counts, without `main`'s own glue.
"""

from __future__ import annotations

import bisect
import hashlib
import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from vadgen import paths
from vadgen.board import Board
from vadgen.build.elf import Image, read_elf
from vadgen.build.emulator import DEFAULT_SECONDS, qemu_command, request_of, run_in
from vadgen.build.tools import find_program, version_of
from vadgen.errors import VadgenError

_BEGIN, _END = "vad_port_region_begin", "vad_port_region_end"
_GLUE = ("begin_image", "feed_row", "read_result", "send_row", _BEGIN, _END)


@dataclass(frozen=True)
class Counts:
    """Instructions of one inference.

    Attributes:
        total: instructions inside the model, None when they could not be counted.
        by_function: instructions by function, most first; their sum is `total`.
        by_step: instructions from the entry of each `vad_model_step_NN` to that of the next step.
        before_steps: instructions before the first step; with `by_step` the sum is `total`.
        reason: why there is no count; "" otherwise.
    """

    total: int | None
    by_function: Mapping[str, int] = field(default_factory=dict)
    by_step: Mapping[int, int] = field(default_factory=dict)
    before_steps: int = 0
    reason: str = ""


def count(
    elf: Path,
    board: Board,
    image: NDArray[Any],
    prefix: str = "vad_model",
    timeout: float = DEFAULT_SECONDS,
) -> Counts:
    """Counts the instructions of one inference; the same inputs give the same counts.

    Args:
        elf: firmware built for the board.
        board: a board with an emulator.
        image: uint8 or int8, the bytes of one input of the model.
        prefix: of the generated names.
        timeout: seconds.

    Returns:
        The counts; without a total where the plugin cannot be compiled or loaded.

    Raises:
        VadgenError: no emulator, no QEMU, or the firmware lacks the markers.
    """
    command = qemu_command(elf, board)
    program = read_elf(elf)
    steps = _step_entries(program, prefix)
    arguments = _plugin_arguments(program, steps)
    try:
        plugin = _compiled_plugin(Path(command[0]).name)
        with tempfile.TemporaryDirectory(prefix="vadgen-") as name:
            folder = Path(name)
            (folder / "request.bin").write_bytes(request_of(image[None]))
            counting = ["-plugin", ",".join([str(plugin), *arguments, "out=counts.txt"])]
            run_in(folder, [*command, *counting], f"counting on {board.id}", timeout)
            text = (folder / "counts.txt").read_text(encoding="ascii")
    except (VadgenError, OSError) as error:
        return Counts(None, reason=str(error))
    return _parse(text, program, tuple(steps))


def _step_entries(program: Image, prefix: str) -> dict[int, int]:
    """Entry addresses of the steps by number."""
    pattern = re.compile(rf"{re.escape(prefix)}_step_(\d+)")
    found = ((pattern.fullmatch(symbol.name), symbol.address) for symbol in program.symbols)
    return dict(sorted((int(match[1]), address) for match, address in found if match))


def _plugin_arguments(program: Image, steps: Mapping[int, int]) -> list[str]:
    begin, end = program.address_of(_BEGIN), program.address_of(_END)
    if begin is None or end is None:
        raise VadgenError("the firmware has no markers to count between", "build it again")
    skips = [
        f"skip={symbol.address:#x}-{symbol.address + symbol.size - 1:#x}"
        for symbol in program.symbols
        if symbol.is_function and symbol.name.partition(".")[0] in _GLUE
    ]
    entries = [f"step={address:#x}" for address in steps.values()]
    return [f"begin={begin:#x}", f"end={end:#x}", *skips, *entries]


def _compiled_plugin(qemu: str) -> Path:
    """The plugin for the installed QEMU, compiled once.

    Raises:
        VadgenError: no C compiler, or it does not compile.
    """
    source = paths.firmware() / "emulator" / "icount.c"
    api = 1 if int(version_of(qemu).partition(".")[0] or 0) < 9 else 2
    gcc = find_program("gcc", "gcc")
    key = hashlib.sha256(source.read_bytes() + f"{api} {version_of('gcc')}".encode()).hexdigest()
    plugin = paths.cache() / "icount" / f"{key[:16]}.so"
    if plugin.is_file():
        return plugin
    plugin.parent.mkdir(parents=True, exist_ok=True)
    made = plugin.with_suffix(f".{os.getpid()}")
    flags = ["-std=c11", "-O2", "-shared", "-fPIC", "-fvisibility=hidden"]
    done = subprocess.run(
        [str(gcc), *flags, f"-DVAD_PLUGIN_API={api}", "-o", str(made), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        first = (done.stderr.strip().splitlines() or ["no message"])[0]
        raise VadgenError(f"the instruction counter does not compile: {first}", "check gcc")
    made.replace(plugin)
    return plugin


def _parse(text: str, program: Image, steps: tuple[int, ...]) -> Counts:
    functions = [symbol for symbol in program.symbols if symbol.is_function and symbol.size]
    starts = [symbol.address for symbol in functions]
    by_function: Counter[str] = Counter()
    by_step: dict[int, int] = {}
    before = 0
    for line in text.splitlines():
        kind, key, value = line.split()
        n = int(value)
        if kind == "at":
            address = int(key, 16)
            i = bisect.bisect_right(starts, address) - 1
            inside = i >= 0 and address < functions[i].address + functions[i].size
            by_function[functions[i].name if inside else "?"] += n
        elif key == "-1":
            before = n
        else:
            by_step[steps[int(key)]] = n
    ordered = dict(sorted(by_function.items(), key=lambda item: (-item[1], item[0])))
    return Counts(sum(by_function.values()), ordered, by_step, before)
