"""Sections and symbols of an ELF file, as the size report and the instruction counter need them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vadgen.errors import VadgenError


@dataclass(frozen=True)
class Section:
    """A section that takes memory.

    Attributes:
        name: as in ".text".
        address: where it lies when the program runs.
        size: bytes.
        is_code: holds instructions.
        is_writable: lies in RAM.
        is_loaded: has bytes in the file (in flash); false for zeroed or untouched memory.
    """

    name: str
    address: int
    size: int
    is_code: bool
    is_writable: bool
    is_loaded: bool


@dataclass(frozen=True)
class Symbol:
    """A function or an object.

    Attributes:
        name: in the source.
        address: first byte, without Thumb's bit.
        size: bytes.
        is_function: code, else data.
        section: name of its section.
        file: name of the source that alone knows it; "" for what all files share.
    """

    name: str
    address: int
    size: int
    is_function: bool
    section: str
    file: str = ""


@dataclass(frozen=True)
class Image:
    """A program.

    Attributes:
        sections: in order of address.
        symbols: in order of address.
        names: of all symbols, also of those that another file defines.
    """

    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]
    names: frozenset[str]

    def address_of(self, name: str) -> int | None:
        """Address of a symbol, None when the program has none of that name."""
        return next((symbol.address for symbol in self.symbols if symbol.name == name), None)


def read_elf(path: Path) -> Image:
    """Reads an ELF file.

    Raises:
        VadgenError: it cannot be read, or is not an ELF file.
    """
    with _opened(path) as elf:
        return _read(elf)


def held_functions(path: Path) -> dict[str, tuple[Symbol, ...]]:
    """By object, the functions whose addresses it holds.

    Raises:
        VadgenError: as `read_elf`.
    """
    with _opened(path) as elf:
        image = _read(elf)
        thumb = elf.get_machine_arch() == "ARM"
        pointers = {s.address | thumb: s for s in image.symbols if s.is_function}
        sections = {section.name: section for section in image.sections}
        contents: dict[str, bytes] = {}
        held: dict[str, tuple[Symbol, ...]] = {}
        for symbol in image.symbols:
            if symbol.is_function:
                continue
            name = symbol.section
            if name not in contents:
                contents[name] = elf.get_section_by_name(name).data()
            start = symbol.address - sections[name].address
            data = contents[name][start : start + symbol.size]
            words = struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])
            found = {word: pointers[word] for word in words if word in pointers}
            if found:
                held[symbol.name] = (*held.get(symbol.name, ()), *found.values())
    return held


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with path.open("rb") as stream:
            yield ELFFile(stream)
    except (OSError, ELFError) as error:
        raise VadgenError(f"{path} cannot be read as a firmware: {error}", "build again") from None


def _read(elf: Any) -> Image:
    from elftools.elf.constants import SH_FLAGS

    sections: list[Section] = []
    names: dict[int, str] = {}
    for index, section in enumerate(elf.iter_sections()):
        header = section.header
        if header.sh_flags & SH_FLAGS.SHF_ALLOC and header.sh_size:
            names[index] = section.name
            sections.append(
                Section(
                    section.name,
                    header.sh_addr,
                    header.sh_size,
                    is_code=bool(header.sh_flags & SH_FLAGS.SHF_EXECINSTR),
                    is_writable=bool(header.sh_flags & SH_FLAGS.SHF_WRITE),
                    is_loaded=header.sh_type != "SHT_NOBITS",
                )
            )
    thumb = 1 if elf.get_machine_arch() == "ARM" else 0
    table = elf.get_section_by_name(".symtab")
    symbols: list[Symbol] = []
    every: set[str] = set()
    file = ""
    for entry in table.iter_symbols() if table else ():
        every.add(entry.name)
        kind, index = entry.entry.st_info.type, entry.entry.st_shndx
        if kind == "STT_FILE":
            file = entry.name.rpartition("/")[2]
        if kind in ("STT_FUNC", "STT_OBJECT") and index in names:
            is_function = kind == "STT_FUNC"
            address = entry.entry.st_value & ~(thumb if is_function else 0)
            own = file if entry.entry.st_info.bind == "STB_LOCAL" else ""
            symbols.append(
                Symbol(entry.name, address, entry.entry.st_size, is_function, names[index], own)
            )
    return Image(
        tuple(sorted(sections, key=lambda section: section.address)),
        tuple(sorted(symbols, key=lambda symbol: (symbol.address, symbol.name))),
        frozenset(every),
    )
