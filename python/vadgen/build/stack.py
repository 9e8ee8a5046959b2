"""The most stack that a firmware can take: frames along the deepest path of its call graph.

GCC tells the frames and calls of all C that is compiled for the firmware (`-fcallgraph-info=su`);
those of assembly and of the compiler's libraries are read from the disassembly. Calls through
pointers reach what the firmware's own constant tables hold (`_POINTERS`); a call through any other
leaves the firmware without a bound, and so does recursion.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vadgen.board import Board
from vadgen.build.elf import Symbol, held_functions, read_elf

_STARTS = ("vad_reset", "vad_start")
"""What runs on the empty stack: C that calls C, or assembly that jumps there."""

_POINTERS = (
    (r"vad_model_step_\d+ vad_model\.c", r"uncounted"),
    (r"\S+ vad_model\.c", r"steps|uncounted"),
    (r"\S+ main\.c", r"send_output|sum_output"),
    (r"\S+ vad_session\.c", r"model"),
    (r"\S+ vad_frame\.c", r"vad_port_write"),
    (r"\S+ vad_patchcore\.c", r"vad_(pq|pqnn|flat)_search"),
    (r"\S+ vad_pqnn_search\.c", r"vad_pq_search"),
    (r"\S+ vad_\w+_(dsp|mve)\.c", r"vad_(dsp|mve)_\w+"),
)
"""Caller and file of a call through a pointer: functions, or constants that hold pointers to them.

The first that matches counts.
"""

_NODE = re.compile(r'node: \{ title: "([^"]+)" label: "[^"]*?\\n(\d+) bytes \((\w+)[^"]*"')
_EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)" label: "([^"]*)"')
_INDIRECT = "__indirect_call"

_BLOCK = re.compile(r"([0-9a-f]+) <([^>]+)>:")
_LINE = re.compile(r"\s*[0-9a-f]+:\t(\S+)\s*(.*)")
_BRANCH = re.compile(r"(b\w*|cbn?z|j\w*|call\w*|tail|wls\w*)(\.[nw])?")
_THROUGH = re.compile(r"(blx?|bx) r\d+|bx ip|jr|jalr|callx\w+")
_TARGET = re.compile(r"([0-9a-f]+) <[^>+]+(?:\+(0x[0-9a-f]+))?>")
_RANGE = re.compile(r"([a-z])(\d+)-[a-z](\d+)")


@dataclass(frozen=True)
class Stack:
    """What the stack takes.

    Attributes:
        set_aside: bytes that the board sets aside.
        bound: bytes that no call can exceed; None where there is no bound.
        path: functions of the deepest path, from the start on.
        reason: why there is no bound; "" otherwise.
        painted: bytes that were written in one inference on the emulator; None where not run.
    """

    set_aside: int
    bound: int | None
    path: tuple[str, ...] = ()
    reason: str = ""
    painted: int | None = None


@dataclass
class _Function:
    """A function.

    Attributes:
        frame: bytes; None where it is not fixed.
        calls: names of the functions that it calls.
        files: where it calls through pointers.
    """

    frame: int | None = 0
    calls: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)


class _Unbounded(Exception):
    """There is no bound; the message says why."""


def measure_stack(elf: Path, objects: Path, board: Board) -> Stack | None:
    """Bounds the stack of a firmware.

    Args:
        elf: firmware built for the board.
        objects: folder of the build's objects, with what GCC told of them.
        board: one with a stack of its own.

    Returns:
        None for a board whose stack is no concern of the firmware's, or of another platform.
    """
    if not board.stack_bytes or board.toolchain is None:
        return None
    try:
        graph = _graph(elf, objects, f"{board.toolchain.prefix}objdump")
        size, path = _deepest(graph, held_functions(elf))
    except _Unbounded as error:
        return Stack(board.stack_bytes, None, reason=str(error))
    return Stack(board.stack_bytes, size, path)


def _graph(elf: Path, objects: Path, objdump: str) -> dict[str, _Function]:
    """All functions, by name; a file's own by "file:name"."""
    graph: dict[str, _Function] = {}
    for path in sorted(objects.rglob("*.ci")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if node := _NODE.match(line):
                function = graph.setdefault(_name(node[1]), _Function())
                function.frame = _both(function.frame, int(node[2]), node[3] == "static", max)
            elif edge := _EDGE.match(line):
                caller = graph.setdefault(_name(edge[1]), _Function())
                if edge[2] == _INDIRECT:
                    caller.files.add(Path(edge[3].partition(":")[0]).name)
                else:
                    caller.calls.add(_name(edge[2]))
    if not graph:
        raise _Unbounded("the compiler told nothing of its calls")
    return {**_disassembled(elf, objdump), **graph}


def _targets(caller: str, file: str) -> str:
    """Whatever a call through a pointer may reach, as in `_POINTERS`."""
    for site, targets in _POINTERS:
        if re.fullmatch(site, f"{_bare(caller)} {file}"):
            return targets
    raise _Unbounded(f"{_bare(caller)} calls through a pointer")


def _deepest(
    graph: Mapping[str, _Function], held: Mapping[str, Sequence[Symbol]]
) -> tuple[int, tuple[str, ...]]:
    """Bytes and functions of the deepest path from the start; `held` as of `held_functions`."""
    done: dict[str, tuple[int, tuple[str, ...]]] = {}
    open_: list[str] = []

    @functools.cache
    def reached(targets: str) -> set[str]:
        holders = [name for name in held if re.fullmatch(rf"({targets})(\.\d+)?", name)]
        named = {name for name in graph if re.fullmatch(targets, _bare(name))}
        return named.union(*({_symbol_name(s) for s in held[name]} for name in holders))

    def visit(name: str) -> tuple[int, tuple[str, ...]]:
        if name in open_:
            raise _Unbounded(f"{_bare(name)} may call itself")
        if name not in done:
            function = graph.get(name)
            if function is None or function.frame is None:
                raise _Unbounded(f"the frame of {_bare(name)} is not known")
            open_.append(name)
            pointed = (reached(_targets(name, file)) for file in function.files)
            calls = sorted(function.calls.union(*pointed))
            below = max((visit(called) for called in calls), default=(0, ()))
            open_.pop()
            done[name] = function.frame + below[0], (_bare(name), *below[1])
        return done[name]

    starts = [name for name in _STARTS if name in graph and graph[name].frame is not None]
    if not starts:
        raise _Unbounded("the start of the firmware is not known")
    return max(map(visit, starts))


def _disassembled(elf: Path, objdump: str) -> dict[str, _Function]:
    """Functions as their instructions say: all that any of them takes off the stack pointer."""
    if shutil.which(objdump) is None:
        raise _Unbounded(f"{objdump} is not installed")
    command = [objdump, "-d", "--no-show-raw-insn", str(elf)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names: dict[int, list[str]] = {}
    for symbol in read_elf(elf).symbols:
        names.setdefault(symbol.address, []).append(_symbol_name(symbol))
    found: dict[str, _Function] = {}
    function, start, branches = _Function(), 0, list[tuple[_Function, int]]()
    for line in text.splitlines():
        if block := _BLOCK.match(line):
            function, start = _Function(), int(block[1], 16)
            names.setdefault(start, []).append(_name(block[2]))
            found |= dict.fromkeys(names[start], function)
        elif instruction := _LINE.match(line):
            word, operands = instruction[1], instruction[2]
            target = _BRANCH.fullmatch(word) and _TARGET.search(operands)
            if target:
                at = int(target[1], 16) - int(target[2] or "0", 16)
                branches += [(function, at)] if at != start else []
            elif _THROUGH.match(f"{word} {operands}"):
                function.frame = None
            else:
                taken = _taken(word, operands)
                function.frame = _both(function.frame, taken or 0, taken is not None, int.__add__)
    for function, at in branches:
        function.calls |= set(names.get(at, ())[:1])
    return found


def _taken(word: str, operands: str) -> int | None:
    """Bytes that an instruction takes off the stack pointer; None where that depends."""
    if word == "push" or (word.startswith("stmdb") and operands.startswith("sp!")):
        return 4 * _registers(operands)
    if word == "vpush":
        return (4 if "{s" in operands else 8) * _registers(operands)
    if before := re.search(r"\[sp, #-(\d+)\]!", operands):
        return int(before[1])
    if word.startswith("add") and (fixed := re.match(r"(?:sp,sp|a1, a1),\s*-(\d+)", operands)):
        return int(fixed[1])
    if word.startswith("sub") and re.match("sp,|a1, a1", operands):
        fixed = re.match(r"sp, (?:sp, )?#(\d+)", operands)
        return int(fixed[1]) if fixed else None
    return 0


def _registers(operands: str) -> int:
    """Registers in a list such as "{r4, r5, lr}" or "{d8-d15}"."""
    listed = operands[operands.index("{") + 1 : operands.index("}")].split(",")
    ranges = [_RANGE.fullmatch(item.strip()) for item in listed]
    return sum(int(r[3]) - int(r[2]) + 1 if r else 1 for r in ranges)


def _both(
    frame: int | None, other: int, is_known: bool, joined: Callable[[int, int], int]
) -> int | None:
    return joined(frame, other) if frame is not None and is_known else None


def _symbol_name(symbol: Symbol) -> str:
    return _name(f"{symbol.file}:{symbol.name}" if symbol.file else symbol.name)


def _name(title: str) -> str:
    """A function's name, with the name of the file whose own it is; copies of it count as it."""
    file, colon, name = title.rpartition(":")
    return f"{file.rpartition('/')[2]}{colon}{name.partition('.')[0]}"


def _bare(name: str) -> str:
    return name.rpartition(":")[2]
