"""A draft of a board's TOML from PlatformIO's description of the board."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vadgen import paths
from vadgen.board import Board, list_boards, load_board, parse_board
from vadgen.build.platformio import platforms_dir
from vadgen.errors import Exit, VadgenError

_DSP = ("cortex-m4", "cortex-m7", "cortex-m33")
_STM32_FLASH, _STM32_RAM, _STM32H7_RAM = 0x08000000, 0x20000000, 0x24000000
_LEAST_ESP_FLASH = 4 << 20  # of firmware/espidf/partitions.csv


@dataclass(frozen=True)
class Draft:
    """A new board: its id, the text of its TOML, and what is left to do by hand."""

    id: str
    text: str
    notes: tuple[str, ...]

    @property
    def board(self) -> Board:
        """The board that the text describes."""
        return parse_board(self.id, self.text, f"{self.id}.toml")


def draft_board(name: str) -> Draft:
    """Drafts a board from PlatformIO's description.

    Args:
        name: PlatformIO's name of the board, whose platform is installed, or a description's file.

    Raises:
        VadgenError: no such description, one that cannot be read, or a chip of another family.
    """
    path = _description(name)
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        mcu, title = str(facts["build"]["mcu"]).lower(), str(facts["name"])
        frameworks, upload = facts["frameworks"], facts["upload"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VadgenError(
            f"{path} is no description of a board: {error}", "it is a JSON file of PlatformIO's"
        ) from None
    board_id = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_")
    for known in ("esp32s3", "esp32c3"):
        if mcu.startswith(known) and "espidf" in frameworks:
            return _espressif(board_id, path.stem, title, known, upload)
    if mcu.startswith("stm32") and "stm32cube" in frameworks:
        return _stm32(board_id, path.stem, title, mcu, facts["build"], upload)
    raise VadgenError(
        f"{title} has a {mcu}, which no port of vadgen is for",
        "there are ports for ESP32-S3 and ESP32-C3 (espidf) and for STM32 (stm32cube)",
    )


def add_board(draft: Draft) -> Path:
    """Writes the draft into the folder of boards.

    Raises:
        VadgenError: there is a board of that name.
    """
    if draft.id in list_boards():
        raise VadgenError(f"there is a board '{draft.id}' already", "`vadgen boards` lists them")
    path = paths.boards() / f"{draft.id}.toml"
    try:
        path.write_text(draft.text, encoding="utf-8")
    except OSError as error:
        raise VadgenError(f"{path} cannot be written: {error.strerror}", "use a checkout") from None
    return path


def _description(name: str) -> Path:
    if name.endswith(".json"):
        return Path(name)
    found = sorted(platforms_dir().glob(f"*/boards/{name}.json"))
    if not found:
        raise VadgenError(
            f"no installed platform of PlatformIO has a board '{name}'",
            "install it (`pio pkg install -g -p espressif32`), or name the board's JSON file",
            Exit.TOOL_MISSING,
        )
    return found[-1]


def _espressif(board_id: str, name: str, title: str, chip: str, upload: Mapping[str, Any]) -> Draft:
    like = load_board(chip)
    if int(upload.get("maximum_size", 0)) < _LEAST_ESP_FLASH:
        raise VadgenError(
            f"{title} has less than 4 MB of flash", "the firmware's partitions need 4 MB"
        )
    text = (paths.boards() / f"{chip}.toml").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^title = .*$", lambda _: f"title = {json.dumps(title)}", text)
    text = text.replace(f'board = "{like.platformio.board}"', f"board = {json.dumps(name)}")
    return Draft(
        board_id, text, ("PSRAM, if there is any, is left out: see boards/esp32s3_n8r8.toml",)
    )


def _stm32(
    board_id: str,
    name: str,
    title: str,
    mcu: str,
    build: Mapping[str, Any],
    upload: Mapping[str, Any],
) -> Draft:
    core = str(build.get("cpu", ""))
    kernels = '["dsp", "portable"]' if core in _DSP else '["portable"]'
    ram = _STM32H7_RAM if mcu.startswith("stm32h7") else _STM32_RAM
    text = f"""\
title = {json.dumps(title)}
core = "{core}"
kernels = {kernels}
vendor_kernels = ["cmsis_nn"]
port = "stm32"
stack_bytes = 4096

[memory.flash]
origin = {_STM32_FLASH:#010x}
size = {int(upload["maximum_size"]):#x}

[memory.ram]
origin = {ram:#010x}
size = {int(upload["maximum_ram_size"]):#x}

[platformio]
platform = "{load_board("stm32f405").platformio.platform}"
board = {json.dumps(name)}
framework = "stm32cube"

[flash]
method = "platformio"
"""
    notes = [f"check origin and size of [memory.ram] in the chip's manual ({mcu})"]
    line = re.search(r"STM32[A-Z0-9]+xx", str(build.get("extra_flags", "")))
    chips = paths.firmware() / "lib" / "vad_port" / "src" / "stm32" / "vad_chip.h"
    if line is None or f"defined({line[0]})" not in chips.read_text(encoding="utf-8"):
        notes.append("add the chip's clock and pins to firmware/lib/vad_port/src/stm32/vad_chip.h")
    return Draft(board_id, text, tuple(notes))
