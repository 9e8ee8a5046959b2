"""Flash and RAM of a firmware by part, from its ELF file, against the board's budget."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vadgen.board import UNLIMITED, Board
from vadgen.build.elf import Image, Section, read_elf
from vadgen.errors import Exit, VadgenError

# Names of objects by the part they belong to, the first that matches.
_FLASH_PARTS = (
    ("weights", re.compile(r"vad_weights?_|.*_weights?_?\d+$")),
    ("tables", re.compile(r"vad_(padim|patchcore|patch|pq|flat)_|.*_tables?(_|$)")),
)
_RAM_PARTS = (
    ("arena", re.compile(r"vad_arena$")),
    ("frame", re.compile(r"vad_frame$")),
    ("state", re.compile(r"vad_state$")),
    ("link", re.compile(r"vad_session$")),
)


@dataclass(frozen=True)
class Sizes:
    """Bytes of flash and RAM by part; a part that takes nothing is left out.

    Attributes:
        flash: weights, tables, code, constants, data (first values of variables), other.
        ram: arena, frame (of the link, with a row of the input), state, link, stack (as set aside),
            other.
        flash_budget: bytes that the board has, None without a budget.
        ram_budget: bytes that the board has, None without a budget.
    """

    flash: Mapping[str, int]
    ram: Mapping[str, int]
    flash_budget: int | None
    ram_budget: int | None

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
        }


def measure(elf: Path, board: Board) -> Sizes:
    """Flash and RAM of a firmware by part.

    Args:
        elf: firmware built for the board.
        board: gives the budgets.

    Raises:
        VadgenError: the file cannot be read as a firmware.
    """
    image = read_elf(elf)
    flash: Counter[str] = Counter()
    ram: Counter[str] = Counter()
    for section in image.sections:
        if section.name.endswith("_dummy"):
            continue  # ESP-IDF's holes in the address space
        if section.is_writable:
            ram += _parts(image, section, _RAM_PARTS, _rest_of_ram(section))
            flash["data"] += section.size if section.is_loaded else 0
        else:
            flash += _parts(image, section, _FLASH_PARTS, _rest_of_flash(section))
    return Sizes(
        _ordered(flash, ("weights", "tables", "code", "constants", "data", "other")),
        _ordered(ram, ("arena", "frame", "state", "link", "stack", "other")),
        None if board.flash_bytes == UNLIMITED else board.flash_bytes,
        None if board.ram_bytes == UNLIMITED else board.ram_bytes,
    )


def check_budget(sizes: Sizes, board: Board) -> None:
    """Checks that a firmware fits its board.

    Raises:
        VadgenError: DOES_NOT_FIT; says which memory, by how many bytes, and its largest part.
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
