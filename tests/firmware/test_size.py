"""Flash and RAM by part, and the refusal of what does not fit."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from firmware_model import MODEL, SHAPES, Build, usable
from numpy.typing import NDArray

from vadgen.board import Board, Region, load_board
from vadgen.build.emulator import run
from vadgen.build.platformio import build_project, create_project
from vadgen.build.size import Sizes, check_budget, measure
from vadgen.errors import Exit, VadgenError


def with_memory(board: Board, **sizes: int) -> Board:
    """The board with other sizes of memory."""
    memory = tuple(
        dataclasses.replace(region, size=sizes.get(region.name, region.size))
        for region in board.memory
    )
    return dataclasses.replace(board, memory=memory)


def test_parts_are_told_apart(build: Build) -> None:
    sizes = measure(build("qemu_m7"), load_board("qemu_m7"))
    assert sizes.ram["arena"] == 4096
    assert 8 * 3 < sizes.ram["frame"] < 8 * 3 + 32
    assert sizes.ram["link"] < 1024
    assert sizes.ram["stack"] == 4096
    assert sizes.flash["weights"] == 8
    assert 500 < sizes.flash["code"] < 6000
    assert sizes.to_json() == {
        "flash_bytes": sum(sizes.flash.values()),
        "flash_budget": 2 << 20,
        "flash_by": sizes.flash,
        "ram_bytes": sum(sizes.ram.values()),
        "ram_budget": 1 << 20,
        "ram_by": sizes.ram,
        "memories": {},
        "heap": [],
        "stack": None,
    }


def test_host_has_no_budget(build: Build) -> None:
    board = load_board("host")
    sizes = measure(build("host"), board)
    assert sizes.flash_budget is None and sizes.ram_budget is None
    check_budget(sizes, board)


def test_what_does_not_fit_is_named(build: Build) -> None:
    elf, board = build("qemu_m7"), load_board("qemu_m7")
    sizes = measure(elf, board)
    exact = with_memory(board, flash=sizes.flash_bytes, ram=sizes.ram_bytes)
    check_budget(measure(elf, exact), exact)
    for name, label in (("flash", "flash by 1 bytes"), ("ram", "RAM by 1 bytes")):
        short = with_memory(
            exact, **{name: dict(flash=sizes.flash_bytes, ram=sizes.ram_bytes)[name] - 1}
        )
        with pytest.raises(VadgenError, match=label) as caught:
            check_budget(measure(elf, short), short)
        assert caught.value.code is Exit.DOES_NOT_FIT
    assert "code" in _refusal(Sizes({"code": 9, "weights": 1}, {}, 5, 5), board)


def _refusal(sizes: Sizes, board: Board) -> str:
    with pytest.raises(VadgenError) as caught:
        check_budget(sizes, board)
    return caught.value.message


def test_a_file_that_is_no_firmware_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "firmware.elf"
    path.write_bytes(b"not a firmware")
    with pytest.raises(VadgenError, match="cannot be read as a firmware"):
        measure(path, load_board("qemu_m7"))
    with pytest.raises(VadgenError, match="cannot be read as a firmware"):
        measure(tmp_path / "missing.elf", load_board("qemu_m7"))


def test_buffers_lie_where_they_were_placed(
    tmp_path: Path, images: NDArray[np.uint8], build: Build
) -> None:
    """Two buffers in memories beside the board's RAM: the same answers, and `size` tells."""
    board = usable("qemu_m7")
    extra = (
        Region("fast", 0x20100000, 0x10000, 1, ".vad_fast"),
        Region("more", 0x60000000, 0x10000, 3, ".vad_more"),
    )
    split = replace(board, memory=(*board.memory, *extra))
    generated = shutil.copytree(MODEL, tmp_path / "generated")
    header = generated / "vad_model.h"
    place = '__attribute__((section("{}")))'
    header.write_text(
        f"#define VAD_MODEL_ARENA_PLACE {place.format('.vad_fast')}\n"
        f"#define VAD_MODEL_DETECTOR_PLACE {place.format('.vad_more')}\n" + header.read_text()
    )
    elf = build_project(create_project(tmp_path, split, generated), split)
    sizes = measure(elf, split)
    by_name = {memory.name: memory for memory in sizes.memories}
    assert by_name["fast"].by == {"arena": 4096} and by_name["more"].by == {"detector": 64}
    assert "arena" not in by_name["ram"].by and by_name["ram"].by["stack"] == 4096
    assert sizes.ram["arena"] == 4096
    apart, together = run(elf, split, images, SHAPES), run(build("qemu_m7"), board, images, SHAPES)
    for one, other in zip(apart, together, strict=True):
        np.testing.assert_array_equal(one.cells, other.cells)
        assert one.score == other.score
