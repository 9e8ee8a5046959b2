"""The STM32 port: what comes is kept while the core computes; an F405's image on QEMU's F405."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from firmware_model import ASK_SLOW, MODEL, SHAPES, asking, usable
from numpy.typing import NDArray

from vadgen import paths
from vadgen.board import load_board
from vadgen.build import compiler
from vadgen.build.compiler import WARNINGS
from vadgen.build.elf import read_elf
from vadgen.build.emulator import serving
from vadgen.build.platformio import linker_symbols
from vadgen.build.size import measure
from vadgen.link.device import Device
from vadgen.link.frames import encode
from vadgen.link.messages import Begin, Query, Row
from vadgen.link.port import Port
from vadgen.pipeline.budget import OTHER_RAM_BYTES, PORT_RAM_BYTES

FIRMWARE = paths.firmware()
STUBS = Path(__file__).parent / "stm32_stubs"
KEPT = 1024
F405 = "-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard", "-DSTM32F405xx"


# --- what an interrupt receives -------------------------------------------------------------------


@dataclass(frozen=True)
class Ring:
    """vad_receive.h on this computer."""

    put: ctypes._CFuncPtr
    take: ctypes._CFuncPtr
    overruns: ctypes._CFuncPtr

    def read(self, room: int) -> bytes:
        to = ctypes.create_string_buffer(room)
        count = self.take(to, room)
        return to.raw[:count]


@pytest.fixture
def ring(tmp_path: Path) -> Ring:
    source = tmp_path / "ring.c"
    source.write_text(
        f'#include "{FIRMWARE / "lib/vad_port/src/vad_receive.h"}"\n'
        "static vad_receive_t ring = {UINT32_MAX - 2000, UINT32_MAX - 2000, 0, {0}};\n"
        "void put(uint8_t byte);\n"
        "void put(uint8_t byte) {\n    vad_receive_put(&ring, byte);\n}\n"
        "uint32_t take(uint8_t *to, uint32_t room);\n"
        "uint32_t take(uint8_t *to, uint32_t room) {\n"
        "    const bool is_empty = vad_receive_is_empty(&ring);\n"
        "    const uint32_t count = (uint32_t)vad_receive_take(&ring, to, room);\n"
        "    return is_empty == (count == 0 && room > 0) ? count : UINT32_MAX;\n}\n"
        "uint32_t overruns(void);\n"
        "uint32_t overruns(void) {\n    return ring.overruns;\n}\n"
    )
    flags = "-O2", "-fPIC"
    objects = compiler.compile_sources([source], [], flags, tmp_path)
    library = ctypes.CDLL(str(compiler.link(objects, [*flags, "-shared"], tmp_path / "ring.so")))
    return Ring(library.put, library.take, library.overruns)


def test_what_is_received_is_read_in_order_and_what_has_no_place_is_counted(ring: Ring) -> None:
    rng, kept, lost = np.random.default_rng(0), bytearray(), 0
    for turn in range(200):  # the counts wrap after 2,001 bytes
        for byte in rng.bytes(int(rng.integers(0, 60 if turn < 100 else 120))):
            ring.put(byte)
            if len(kept) < KEPT:
                kept.append(byte)
            else:
                lost += 1
        room = int(rng.integers(1, 64))
        assert ring.read(room) == kept[:room]
        del kept[:room]
        assert ring.overruns() == lost
        assert turn > 100 or lost == 0
    assert lost > 100


# --- with ST's own headers ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vad_port.c", "vad_chip_f4f7.c", "vad_chip_h7.c"])
@pytest.mark.parametrize(
    ("chip", "core"),
    [("STM32F405xx", "cortex-m4"), ("STM32F746xx", "cortex-m7"), ("STM32H743xx", "cortex-m7")],
)
def test_the_port_compiles_with_sts_headers(
    chip: str, core: str, name: str, tmp_path: Path
) -> None:
    """Where VADGEN_STM32CUBE names a folder with ST's HAL drivers and CMSIS of all three."""
    if "VADGEN_STM32CUBE" not in os.environ:
        pytest.skip("ST's HAL (VADGEN_STM32CUBE) is not here")
    usable("qemu_m4")
    family = f"stm32{chip[5:7].lower()}xx"
    cube = Path(os.environ["VADGEN_STM32CUBE"])
    found = {
        header: next(path for path in cube.rglob(header) if "emplate" not in path.parent.name)
        for header in (f"{family}_hal.h", f"{chip.lower()}.h", f"core_c{core[7:]}.h")
    }
    template = next(cube.rglob(f"{family}_hal_conf_template.h")).read_text(encoding="latin-1")
    (tmp_path / f"{family}_hal_conf.h").write_text(template, encoding="latin-1")
    subprocess.run(
        [
            *("arm-none-eabi-gcc", f"-mcpu={core}", "-mthumb", f"-D{chip}", "-O2", *WARNINGS),
            *(f"-isystem{folder}" for folder in (tmp_path, *(p.parent for p in found.values()))),
            f"-I{FIRMWARE / 'lib/vad_port/include'}",
            *("-c", str(FIRMWARE / "lib/vad_port/src/stm32" / name), "-o", os.devnull),
        ],
        check=True,
    )


# --- the image of stm32f405 -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def f405(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The firmware with the STM32 port, in the chip's memory map, on a stand-in for ST's HAL."""
    usable("qemu_m4")
    board = load_board("stm32f405")
    libraries = [FIRMWARE / "lib" / name for name in ("vad_core", "vad_link", "vad_port")]
    sources = [
        FIRMWARE / "src" / "main.c",
        MODEL / "vad_model.c",
        STUBS / "stm32f4xx_hal.c",
        *(path for library in libraries for path in sorted((library / "src").glob("*.c"))),
        *sorted((FIRMWARE / "lib/vad_port/src/stm32").glob("*.c")),
    ]
    includes = [MODEL, STUBS, *(library / "include" for library in libraries)]
    elf = tmp_path_factory.mktemp("f405") / "firmware.elf"
    symbols = (f"-Wl,--defsym={k}={v:#x}" for k, v in linker_symbols(board).items())
    subprocess.run(
        [
            *("arm-none-eabi-gcc", *F405, "-O2", *WARNINGS, "-ffunction-sections"),
            *(f"-I{folder}" for folder in includes),
            *map(str, sources),
            *("-nostartfiles", "-Wl,--gc-sections", f"-T{FIRMWARE / 'stm32cube' / 'link.ld'}"),
            *(*symbols, "-o", str(elf)),
        ],
        check=True,
    )
    return elf


@pytest.fixture
def line(f405: Path) -> Iterator[Port]:
    with serving(f405, load_board("qemu_m4")) as served, Port(served.port) as port:
        yield port


def check(device: Device, pixels: NDArray[np.uint8]) -> None:
    cells = pixels[:, :, 0].astype(int).reshape(2, 4, 2, 4).sum((1, 3)).ravel()
    response = device.score(pixels, SHAPES)
    assert np.array_equal(response.cells, cells) and response.score == cells.max()


def test_the_image_lies_in_the_chips_memory(f405: Path) -> None:
    board, image = load_board("stm32f405"), read_elf(f405)
    places = {section.name: section.address for section in image.sections}
    assert places[".isr_vector"] == 0x08000000 and places[".stack"] == 0x20000000
    ends = {s.address + s.size for s in image.sections if s.is_writable}
    assert max(ends) < 0x20000000 + board.ram_bytes
    assert image.address_of("USART1_IRQHandler") is not None
    ram = measure(f405, board).ram
    own = sum(ram[part] for part in ("state", "link", "other"))
    assert KEPT < own < OTHER_RAM_BYTES + PORT_RAM_BYTES["stm32"]


def test_a_session_over_the_interrupt(line: Port, images: NDArray[np.uint8]) -> None:
    device = Device(line)
    identity = device.hello()
    assert identity.window == 8  # frames of 44 bytes, of which 1,024 bytes are kept
    for pixels in images:
        check(device, pixels)
    counters = device.counters()
    assert (counters.images, counters.damaged, counters.overruns) == (len(images), 0, 0)
    assert 200 < counters.stack_bytes < 1500


def slow_image() -> bytes:
    """Frames of an image whose first row takes long."""
    rows = enumerate(asking(ASK_SLOW))
    return encode(Begin(3, 0), 1) + b"".join(encode(Row(3, y, 0, r.tobytes()), 2) for y, r in rows)


def test_all_that_is_kept_is_answered(line: Port, images: NDArray[np.uint8]) -> None:
    """The rest of an image comes while its first row is computed."""
    device = Device(line)
    device.hello()
    assert len(slow_image()) < KEPT
    line.write(slow_image())
    assert device.counters().frames == 1 + 9 + 1
    check(device, images[0])
    counters = device.counters()
    assert (counters.images, counters.damaged, counters.overruns) == (2, 0, 0)


def test_what_is_not_kept_is_counted_and_sent_again(line: Port, images: NDArray[np.uint8]) -> None:
    """More comes in that time than is kept: bytes are lost, in the middle of a frame."""
    device = Device(line)
    device.hello()
    line.write(slow_image() + encode(Query(3), 3) * 400)
    for pixels in images:
        check(device, pixels)
    counters = device.counters()
    # How many depends on how far the emulator has come meanwhile.
    assert counters.overruns > 0 and counters.images >= 1 + len(images)
