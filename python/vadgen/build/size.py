"""Flash and RAM of a firmware by part, from its ELF file, against the board's budget."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vadgen.board import UNLIMITED, Board
from vadgen.build.elf import Image, Section, read_elf
from vadgen.build.stack import Stack, measure_stack
from vadgen.errors import Exit, VadgenError

# Names of objects by the part they belong to, the first that matches; _ZL is C++'s for static.
_FLASH_PARTS = (
    ("weights", re.compile(r"(_ZL\d+)?vad_weights?_|.*_weights?_?\d+$")),
    ("tables", re.compile(r"vad_(padim|patchcore|patch|pq|flat|students|cfa)_|.*_tables?(_|$)")),
)
_RAM_PARTS = (
    ("arena", re.compile(r"vad_arena$")),
    ("detector", re.compile(r"vad_detector$")),
    ("frame", re.compile(r"vad_frame$")),
    ("state", re.compile(r"vad_state$")),
    ("link", re.compile(r"vad_session$")),
)


# What manages a heap: of C, of newlib, and C++'s operators new and delete.
_HEAP = re.compile(
    r"(malloc|calloc|realloc|free|memalign|aligned_alloc|posix_memalign|s?brk)"
    r"|_((malloc|calloc|realloc|free|memalign|sbrk)_r|sbrk)|_Z(n[wa]|d[la])\w+"
)

_RAM_ORDER = ("arena", "detector", "frame", "state", "link", "stack", "other")


@dataclass(frozen=True)
class Memory:
    """What lies in one of a board's memories for data, in bytes by part."""

    name: str
    size: int
    by: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """As `size.json` holds it."""
        return {"bytes": sum(self.by.values()), "budget": self.size, "by": dict(self.by)}


@dataclass(frozen=True)
class Sizes:
    """Bytes of flash and RAM by part; a part that takes nothing is left out.

    Attributes:
        flash: weights, tables, code, constants, data (first values of variables), other.
        ram: arena, detector (its state), frame (of the link, with a row of the input), state (where
            the image stands), link, stack (as set aside), other.
        flash_budget: bytes that the board has, None without a budget.
        ram_budget: bytes that the board has, None without a budget.
        memories: the board's memories for data, where there are several.
        heap: functions of a heap that are linked; a firmware of integers has none.
        stack: what it takes at most, None where that is not the firmware's concern.
    """

    flash: Mapping[str, int]
    ram: Mapping[str, int]
    flash_budget: int | None
    ram_budget: int | None
    memories: tuple[Memory, ...] = ()
    heap: tuple[str, ...] = ()
    stack: Stack | None = None

    @property
    def flash_bytes(self) -> int:
        """All flash."""
        return sum(self.flash.values())

    @property
    def ram_bytes(self) -> int:
        """All RAM."""
        return sum(self.ram.values())

    def to_json(self) -> dict[str, Any]:
        """As `size.json` and `--json` hold it."""
        return {
            "flash_bytes": self.flash_bytes,
            "flash_budget": self.flash_budget,
            "flash_by": dict(self.flash),
            "ram_bytes": self.ram_bytes,
            "ram_budget": self.ram_budget,
            "ram_by": dict(self.ram),
            "memories": {memory.name: memory.to_json() for memory in self.memories},
            "heap": list(self.heap),
            "stack": None if self.stack is None else asdict(self.stack),
        }


def measure(elf: Path, board: Board, objects: Path | None = None) -> Sizes:
    """Flash and RAM of a firmware by part.

    Args:
        elf: firmware built for the board.
        board: gives the budgets.
        objects: folder of the build's objects, for the bound of the stack.

    Raises:
        VadgenError: the file cannot be read as a firmware.
    """
    image = read_elf(elf)
    flash: Counter[str] = Counter()
    ram: Counter[str] = Counter()
    held: dict[str, Counter[str]] = {region.name: Counter() for region in board.data_regions}
    for section in image.sections:
        if section.name.endswith("_dummy"):
            continue  # ESP-IDF's holes in the address space
        if section.is_writable:
            parts = _parts(image, section, _RAM_PARTS, _rest_of_ram(section))
            ram += parts
            for region in board.data_regions:
                if region.origin <= section.address < region.origin + region.size:
                    held[region.name] += parts
            flash["data"] += section.size if section.is_loaded else 0
        else:
            flash += _parts(image, section, _FLASH_PARTS, _rest_of_flash(section))
    return Sizes(
        _ordered(flash, ("weights", "tables", "code", "constants", "data", "other")),
        _ordered(ram, _RAM_ORDER),
        None if board.flash_bytes == UNLIMITED else board.flash_bytes,
        sum(region.size for region in board.data_regions) or None,
        _memories(board, held),
        tuple(sorted(name for name in image.names if _HEAP.fullmatch(name.partition("@")[0]))),
        None if objects is None else measure_stack(elf, objects, board),
    )


def _memories(board: Board, held: Mapping[str, Mapping[str, int]]) -> tuple[Memory, ...]:
    regions = board.data_regions
    if len(regions) < 2:
        return ()
    return tuple(Memory(r.name, r.size, _ordered(held[r.name], _RAM_ORDER)) for r in regions)


def check_budget(sizes: Sizes, board: Board) -> None:
    """Checks that a firmware fits its board, its stack what is set aside, and that it has no heap.

    Raises:
        VadgenError: DOES_NOT_FIT; says which memory, by how many bytes, and its largest part. A
            heap, where the firmware is all that runs.
    """
    for name, used, budget, by in (
        ("flash", sizes.flash_bytes, sizes.flash_budget, sizes.flash),
        ("RAM", sizes.ram_bytes, sizes.ram_budget, sizes.ram),
    ):
        if budget is not None and used > budget:
            part, size = max(by.items(), key=lambda item: item[1])
            raise VadgenError(
                f"the firmware does not fit {board.id}: {name} by {used - budget:,} bytes "
                f"({used:,} of {budget:,}; {part} {size:,})",
                "a smaller --input, a thinner --backbone or fewer channels need less",
                Exit.DOES_NOT_FIT,
            )
    stack = sizes.stack
    if stack is not None and stack.bound is not None and stack.bound > stack.set_aside:
        raise VadgenError(
            f"the firmware does not fit {board.id}: its stack by {stack.bound - stack.set_aside:,} "
            f"bytes ({stack.bound:,} of {stack.set_aside:,} set aside; {' > '.join(stack.path)})",
            f"set a larger stack_bytes in boards/{board.id}.toml",
            Exit.DOES_NOT_FIT,
        )
    if sizes.heap and board.is_in_project:
        raise VadgenError(
            f"the firmware for {board.id} has a heap: {', '.join(sizes.heap)}",
            "firmware must not allocate: please report it, unless the project's C is yours",
        )


def _parts(
    image: Image, section: Section, patterns: tuple[tuple[str, re.Pattern[str]], ...], rest: str
) -> Counter[str]:
    """Bytes of a section by part; what no object of a known name covers is `rest`."""
    sizes: Counter[str] = Counter({rest: section.size})
    for symbol in image.symbols:
        if symbol.section != section.name or symbol.is_function:
            continue
        part = next((name for name, pattern in patterns if pattern.match(symbol.name)), rest)
        sizes[part] += symbol.size
        sizes[rest] -= symbol.size
    return sizes


def _rest_of_flash(section: Section) -> str:
    if section.is_code:
        return "code"
    return "constants" if "rodata" in section.name else "other"


def _rest_of_ram(section: Section) -> str:
    return "stack" if section.name == ".stack" else "other"


def _ordered(parts: Mapping[str, int], order: tuple[str, ...]) -> dict[str, int]:
    return {name: parts[name] for name in order if parts.get(name)}
