"""Boards: `boards/*.toml` read into frozen values; facts only, no choices.

A board is a chip (or its emulation) with its memory, the compiler flags it needs, the kernel sets
it can run and the way its firmware is built. Adding one is adding a file.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vadgen import paths
from vadgen.errors import VadgenError

UNLIMITED = 1 << 40
"""Flash and RAM bytes of a board without a budget (the host)."""

IN_PROJECT = "in-project"


@dataclass(frozen=True)
class Region:
    """One range of memory.

    Attributes:
        name: "flash" holds code and constants, "ram" everything that changes and is not placed
            elsewhere.
        origin: first address.
        size: bytes.
        rank: of memory that buffers may be placed in, from 1 for the fastest; 0 for memory that is
            left alone. "ram" always takes part.
        section: of the linker script, by which a buffer gets there; "" for "ram".
    """

    name: str
    origin: int
    size: int
    rank: int = 0
    section: str = ""


@dataclass(frozen=True)
class PlatformIO:
    """How PlatformIO builds the board.

    Attributes:
        platform: "in-project" for `firmware/platform`, else PlatformIO's own, with its version.
        board: PlatformIO's name of the board; the in-project platform uses the board's own id.
        framework: "espidf", "stm32cube", or "" for none.
    """

    platform: str = IN_PROJECT
    board: str = ""
    framework: str = ""


@dataclass(frozen=True)
class Toolchain:
    """The system compiler of a board of the in-project platform.

    Attributes:
        prefix: of the programs, as in "arm-none-eabi-"; "" is the host's compiler.
        flags: given to the compiler and to the linker.
        link_flags: given to the linker only.
        startup: folder in `firmware/platform` with start-up code and `link.ld`; "" for none.
    """

    prefix: str = ""
    flags: tuple[str, ...] = ()
    link_flags: tuple[str, ...] = ()
    startup: str = ""


@dataclass(frozen=True)
class Emulator:
    """The QEMU machine that runs the board's firmware.

    Attributes:
        binary: program, as in "qemu-system-arm".
        machine: value of `-M`.
        args: further arguments.
        icount_shift: one instruction takes 2^shift ns of the machine's time.
    """

    binary: str
    machine: str
    args: tuple[str, ...] = ()
    icount_shift: int = 6


@dataclass(frozen=True)
class Flash:
    """How firmware gets into a board that is attached.

    Attributes:
        method: "esptool", or "platformio" for the upload of its platform.
        chip: esptool's name of the chip.
        images: what esptool writes, as in "0x10000 firmware.bin"; files of PlatformIO's build.
    """

    method: str
    chip: str = ""
    images: tuple[str, ...] = ()

    @property
    def places(self) -> dict[str, int]:
        """Offset in flash of each image, in the order of `images`."""
        pairs = (image.split() for image in self.images)
        return {name: int(offset, 16) for offset, name in pairs}


@dataclass(frozen=True)
class Tool:
    """A program, or a file of the compiler ("libc.a", "x.specs"), and its Debian package."""

    program: str
    package: str


@dataclass(frozen=True)
class Board:
    """A board.

    Attributes:
        id: name of its file.
        title: one line for people.
        core: as in "cortex-m7".
        kernels: kernel sets it runs, best first; "portable" is the last.
        port: folder in `firmware/lib/vad_port/src`.
        vendor_kernels: sets that call a vendor's library: what it can run where that is linked.
        memory: ranges of memory; none means no budget.
        stack_bytes: RAM that is set aside for the stack; 0 where the system sees to it.
        instructions: budget of one inference, 0 for none.
        platformio: how PlatformIO builds it.
        toolchain: the system compiler, for the in-project platform.
        emulator: the machine that runs it, if any.
        flash: how firmware gets into it, None for a board that cannot be attached.
        tools: what must be installed to build and run it here.
    """

    id: str
    title: str
    core: str
    kernels: tuple[str, ...]
    port: str
    vendor_kernels: tuple[str, ...] = ()
    memory: tuple[Region, ...] = ()
    stack_bytes: int = 0
    instructions: int = 0
    platformio: PlatformIO = PlatformIO()
    toolchain: Toolchain | None = None
    emulator: Emulator | None = None
    flash: Flash | None = None
    tools: tuple[Tool, ...] = ()

    @property
    def flash_bytes(self) -> int:
        """Bytes that code and constants may take; `UNLIMITED` without a budget."""
        return self._size("flash")

    @property
    def ram_bytes(self) -> int:
        """Bytes that everything that changes may take; `UNLIMITED` without a budget."""
        return self._size("ram")

    @property
    def data_regions(self) -> tuple[Region, ...]:
        """Memory that buffers may be placed in, the fastest first."""
        ranked = [region for region in self.memory if region.rank or region.name == "ram"]
        return tuple(sorted(ranked, key=lambda region: region.rank or 1))

    @property
    def is_in_project(self) -> bool:
        """Built by `firmware/platform` with the system's compilers."""
        return self.platformio.platform == IN_PROJECT

    @property
    def packages(self) -> tuple[str, ...]:
        """Debian packages of the tools, each once."""
        return tuple(dict.fromkeys(tool.package for tool in self.tools))

    def region(self, name: str) -> Region | None:
        """The range of memory of that name."""
        return next((region for region in self.memory if region.name == name), None)

    def _size(self, name: str) -> int:
        region = self.region(name)
        return region.size if region else UNLIMITED


def list_boards() -> tuple[str, ...]:
    """Ids of all boards, sorted."""
    return tuple(sorted(path.stem for path in paths.boards().glob("*.toml")))


def load_board(name: str) -> Board:
    """The board of that id.

    Raises:
        VadgenError: no such board (names the nearest), or its file is wrong.
    """
    known = list_boards()
    if name not in known:
        raise VadgenError(f"unknown board '{name}'", _nearest(name, known))
    path = paths.boards() / f"{name}.toml"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise VadgenError(f"{path} cannot be read: {error}", "a board is a TOML file") from None
    return parse_board(name, text, str(path))


def with_kernels(board: Board, names: str | None) -> Board:
    """The board with other kernel sets, best first; "portable" is always the last.

    Args:
        board: the board.
        names: of the sets, with commas between; None leaves the board's own.

    Raises:
        VadgenError: it cannot run one of them.
    """
    if names is None:
        return board
    known = (*board.vendor_kernels, *board.kernels)
    chosen = [name.strip() for name in names.split(",")]
    for name in chosen:
        if name not in known:
            raise VadgenError(f"{board.id} cannot run kernels '{name}'", _nearest(name, known))
    others = dict.fromkeys(name for name in chosen if name != "portable")
    return dataclasses.replace(board, kernels=(*others, "portable"))


def parse_board(name: str, text: str, where: str) -> Board:
    """The board that the text of a TOML file describes.

    Args:
        name: the board's id.
        text: the file.
        where: names the file in messages.

    Raises:
        VadgenError: not TOML, an unknown or missing key, a value of the wrong type.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise VadgenError(f"{where} is not valid TOML: {error}", "mend the line it names") from None
    tables = {
        key: _table(tree.pop(key), f"{where} [{key}]")
        for key in ("memory", "platformio", "toolchain", "emulator", "flash", "tools")
        if key in tree
    }
    parts: dict[str, Any] = {
        key: _read(kind, tables[key], f"{where} [{key}]")
        for key, kind in (
            ("platformio", PlatformIO),
            ("toolchain", Toolchain),
            ("emulator", Emulator),
            ("flash", Flash),
        )
        if key in tables
    }
    parts["memory"] = tuple(
        _read(
            Region, {"name": key, **_table(value, f"{where} [memory.{key}]")}, f"{where} [memory]"
        )
        for key, value in tables.get("memory", {}).items()
    )
    parts["tools"] = tuple(
        _read(Tool, {"program": key, "package": value}, f"{where} [tools]")
        for key, value in tables.get("tools", {}).items()
    )
    board: Board = _read(Board, {"id": name, **tree}, where, parts)
    _check(board, where)
    return board


def _check(board: Board, where: str) -> None:
    """What the types alone do not say."""
    if board.kernels[-1:] != ("portable",):
        raise VadgenError(f"{where}: key 'kernels' must end with \"portable\"", "add it")
    if bool(board.region("flash")) != bool(board.region("ram")):
        raise VadgenError(
            f"{where}: memory needs both [memory.flash] and [memory.ram]", "add the other"
        )
    for region in board.memory:
        if bool(region.section) != (region.rank > 0 and region.name != "ram"):
            raise VadgenError(
                f"{where} [memory.{region.name}]: 'rank' and 'section' belong together",
                'as in rank = 1, section = ".vad_fast"; "ram" needs no section',
            )
    if board.flash is not None:
        _check_flash(board.flash, f"{where} [flash]")
    if board.is_in_project != (board.toolchain is not None):
        raise VadgenError(
            f"{where}: [toolchain] belongs to boards of the in-project platform, and they need it",
            "add [toolchain], or name PlatformIO's own platform in [platformio]",
        )


def _check_flash(flash: Flash, where: str) -> None:
    if flash.method not in ("esptool", "platformio"):
        raise VadgenError(f"{where}: unknown method '{flash.method}'", "esptool or platformio")
    if (flash.method == "esptool") != bool(flash.chip and flash.images):
        raise VadgenError(
            f"{where}: 'chip' and 'images' belong to esptool, and it needs them",
            'as in chip = "esp32s3", images = ["0x10000 firmware.bin"]',
        )
    for image in flash.images:
        if not re.fullmatch(r"0x[0-9a-fA-F]+ [\w.-]+", image):
            raise VadgenError(
                f"{where}: key 'images' holds '{image}'", 'write "0x10000 firmware.bin"'
            )


def _table(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise VadgenError(f"{where} is not a table", "write it as a [table]")
    return value


_TYPES: Mapping[str, tuple[type, str]] = {
    "str": (str, "a text"),
    "int": (int, "a whole number that is not negative"),
    "tuple[str, ...]": (list, "a list of texts"),
}


def _read(
    kind: Any, table: Mapping[str, Any], where: str, parts: Mapping[str, Any] | None = None
) -> Any:
    """Fills the dataclass `kind` from a table; `parts` are fields that were read already."""
    fields = {f.name: f for f in dataclasses.fields(kind) if f.name not in (parts or {})}
    known = {name for name, f in fields.items() if f.type in _TYPES}
    for key in table:
        if key not in known:
            names = (f.name for f in dataclasses.fields(kind) if f.name != "id")
            raise VadgenError(f"{where}: unknown key '{key}'", _nearest(key, names))
    values: dict[str, Any] = dict(parts or {})
    for key in known:
        if key in table:
            values[key] = _value(table[key], str(fields[key].type), f"{where}: key '{key}'")
        elif fields[key].default is dataclasses.MISSING:
            raise VadgenError(f"{where}: key '{key}' is missing", f"add {key}")
    return kind(**values)


def _value(value: object, type_name: str, where: str) -> object:
    wanted, text = _TYPES[type_name]
    if (
        not isinstance(value, wanted)
        or isinstance(value, bool)
        or (isinstance(value, int) and value < 0)
        or (isinstance(value, list) and not all(isinstance(item, str) for item in value))
    ):
        raise VadgenError(f"{where} has the wrong type", f"it must be {text}")
    return tuple(value) if isinstance(value, list) else value


def _nearest(name: str, known: Iterable[str]) -> str:
    listed = sorted(known)
    near = difflib.get_close_matches(name.lower(), listed, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(listed)}"
