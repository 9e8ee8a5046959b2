"""What the firmware answers: the same from the host's program and from every emulated core."""

from __future__ import annotations

import time

import numpy as np
import pytest
from firmware_model import (
    ASK_DEEP_STACK,
    ASK_HANG,
    ASK_STATUS,
    ASK_TRAP,
    SHAPES,
    Build,
    asking,
    emulated,
)
from numpy.typing import NDArray

from vadgen.board import load_board
from vadgen.build import emulator
from vadgen.build.elf import read_elf
from vadgen.errors import VadgenError

EMULATED = emulated()


def check(responses: list[emulator.Response], images: NDArray[np.uint8]) -> None:
    """Compares responses with what the model does, in numpy."""
    weights = np.arange(1, 5)
    assert len(responses) == len(images)
    for response, image in zip(responses, images, strict=True):
        channel = image[:, :, 0].astype(int)
        first, second = response.outputs
        assert np.array_equal(first[..., 0], channel[::2] - 128)
        assert np.array_equal(second[..., 0], (channel[3::4, :4] - 128 + weights).astype(np.int8))
        cells = channel.reshape(2, 4, 2, 4).sum((1, 3)).ravel()
        assert np.array_equal(response.cells, cells)
        assert response.score == cells.max()
        assert response.threshold == 2100
        assert response.is_anomalous == (cells.max() > 2100)


@pytest.mark.parametrize("name", EMULATED)
def test_emulated_core_answers_right(name: str, build: Build, images: NDArray[np.uint8]) -> None:
    check(emulator.run(build(name), load_board(name), images, SHAPES), images)


def test_host_program_answers_right(build: Build, images: NDArray[np.uint8]) -> None:
    check(emulator.run_host(build("host"), images, SHAPES), images)


def test_only_what_is_asked_for_is_sent(build: Build, images: NDArray[np.uint8]) -> None:
    (first, *_) = emulator.run_host(build("host"), images, want_cells=False)
    assert first.outputs == ()
    assert first.cells.size == 0
    assert first.score > 0


def test_int8_images_are_sent_as_bytes(build: Build, images: NDArray[np.uint8]) -> None:
    check(emulator.run_host(build("host"), images.view(np.int8), SHAPES), images)


@pytest.mark.parametrize("name", EMULATED)
def test_misbehaviour_is_an_error(name: str, build: Build) -> None:
    elf, board = build(name), load_board(name)
    with pytest.raises(VadgenError, match="the core took exception"):
        emulator.run(elf, board, asking(ASK_TRAP)[None])
    with pytest.raises(VadgenError, match="the model refused an image"):
        emulator.run(elf, board, asking(ASK_STATUS)[None])


def test_time_out_is_an_error(build: Build) -> None:
    started = time.monotonic()
    with pytest.raises(VadgenError, match="did not answer in 1 s"):
        emulator.run(build("qemu_m7"), load_board("qemu_m7"), asking(ASK_HANG)[None], timeout=1)
    assert time.monotonic() - started < 5


def test_crash_of_the_host_program_is_an_error(build: Build) -> None:
    with pytest.raises(VadgenError, match="exit code -"):
        emulator.run_host(build("host"), asking(ASK_TRAP)[None])


def test_a_request_that_ends_early_is_an_error(build: Build) -> None:
    with pytest.raises(VadgenError, match="the request ended early"):
        emulator.run_host(build("host"), np.zeros((1, 7, 8, 3), np.uint8))


def test_a_board_without_emulator_is_refused(build: Build) -> None:
    with pytest.raises(VadgenError, match="'esp32s3' has no emulator"):
        emulator.run(build("host"), load_board("esp32s3"), asking(0)[None])


@pytest.mark.parametrize("name", EMULATED)
def test_stack_high_water_is_measured(name: str, build: Build) -> None:
    elf, board = build(name), load_board(name)
    shallow = emulator.stack_high_water(elf, board, asking(0))
    deep = emulator.stack_high_water(elf, board, asking(ASK_DEEP_STACK))
    # The KiB may begin above the place where an image without it is deepest.
    assert 64 < shallow < 1024 < deep < shallow + 1200
    assert emulator.stack_high_water(elf, board, asking(0)) == shallow


@pytest.mark.parametrize("name", EMULATED)
def test_firmware_has_no_heap_and_no_printf(name: str, build: Build) -> None:
    names = {symbol.name for symbol in read_elf(build(name)).symbols}
    assert "main" in names
    forbidden = ("malloc", "free", "calloc", "realloc", "_sbrk", "sbrk", "printf", "sprintf")
    assert not names & {prefix + name for name in forbidden for prefix in ("", "_", "_r")}
    assert not [name for name in names if "malloc" in name or "printf" in name]
