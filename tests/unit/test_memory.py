"""Which buffer lies in which memory, and drafts of boards."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from verbs import fails, run_json

from vadgen import paths
from vadgen.board import load_board
from vadgen.build.drafts import draft_board
from vadgen.errors import Exit
from vadgen.plan.memory import ARENA, DETECTOR, Buffer, Room, most_rows, place, rooms_of

FAST, RAM, PSRAM = Room("dtcm", 1, 100), Room("ram", 2, 300), Room("psram", 3, 9000)


def placed(arena: int, detector: int, *rooms: Room) -> tuple[str, str] | None:
    found = place([Buffer(ARENA, arena, 2), Buffer(DETECTOR, detector, 1)], rooms)
    return found and (found[ARENA].region, found[DETECTOR].region)


@pytest.mark.parametrize(
    ("arena", "detector", "expected"),
    [
        (60, 40, ("dtcm", "dtcm")),
        (80, 80, ("dtcm", "ram")),
        (200, 80, ("ram", "dtcm")),
        (90, 290, ("dtcm", "ram")),
        (310, 80, ("psram", "dtcm")),
        (80, 310, ("dtcm", "psram")),
        (250, 250, ("ram", "psram")),
        (8000, 2000, None),
    ],
)
def test_the_hotter_buffer_gets_the_faster_memory(
    arena: int, detector: int, expected: tuple[str, str] | None
) -> None:
    assert placed(arena, detector, PSRAM, FAST, RAM) == expected


def test_nothing_lies_in_psram_that_fits_inside() -> None:
    for arena, detector in itertools.product(range(0, 420, 20), repeat=2):
        inside = placed(arena, detector, FAST, RAM)
        if inside is not None:
            assert placed(arena, detector, FAST, RAM, PSRAM) == inside


def test_the_budget_is_what_can_be_placed() -> None:
    rooms = (FAST, RAM)
    for state in range(0, 420, 20):
        most = most_rows(rooms, state)
        assert most <= 0 or placed(most, state, *rooms) is not None
        assert placed(max(most, 0) + 1, state, *rooms) is None


def test_boards_with_several_memories() -> None:
    h743 = rooms_of(load_board("nucleo_h743zi"), 10_000)
    assert [(r.region, r.size) for r in h743] == [
        ("dtcm", 128 << 10),
        ("ram", (512 << 10) - 10_000),
    ]
    assert [r.region for r in rooms_of(load_board("esp32s3_n8r8"), 0)] == ["ram", "psram"]
    f405, emulated = load_board("stm32f405"), load_board("qemu_m4")
    for name in ("flash", "ram"):
        real, here = f405.region(name), emulated.region(name)
        assert real is not None and here is not None
        assert (real.origin, real.size) == (here.origin, here.size)


def description(folder: Path, name: str, **changes: Any) -> Path:
    """A board's description as PlatformIO has them."""
    facts: dict[str, Any] = {
        "build": {"cpu": "cortex-m4", "mcu": "stm32f446re", "extra_flags": "-DSTM32F446xx"},
        "frameworks": ["stm32cube"],
        "name": 'A "board"',
        "upload": {"maximum_ram_size": 131072, "maximum_size": 524288},
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**facts, **changes}))
    return path


def test_a_draft_of_an_stm32_is_a_board(tmp_path: Path) -> None:
    draft = draft_board(str(description(tmp_path, "my-Board.2")))
    board = draft.board
    assert (board.id, board.title, board.port) == ("my_board_2", 'A "board"', "stm32")
    assert (board.flash_bytes, board.ram_bytes) == (512 << 10, 128 << 10)
    assert board.platformio.board == "my-Board.2" and board.kernels == ("dsp", "portable")
    assert any("vad_chip.h" in note for note in draft.notes)
    h7 = {"cpu": "cortex-m7", "mcu": "stm32h743zit6", "extra_flags": "-DSTM32H743xx"}
    draft = draft_board(str(description(tmp_path, "h7", build=h7)))
    region = draft.board.region("ram")
    assert region is not None and region.origin == 0x24000000
    assert not any("vad_chip" in note for note in draft.notes)


def test_a_draft_of_an_espressif_board(tmp_path: Path) -> None:
    path = description(
        tmp_path,
        "other-s3",
        build={"mcu": "esp32s3"},
        frameworks=["espidf"],
        upload={"maximum_size": 8 << 20},
    )
    board = draft_board(str(path)).board
    like = load_board("esp32s3")
    assert (board.memory, board.flash, board.port) == (like.memory, like.flash, "espidf")
    assert (board.platformio.board, board.id) == ("other-s3", "other_s3")


def test_boards_add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    for path in paths.boards().glob("*.toml"):
        (tmp_path / path.name).write_text(path.read_text())
    monkeypatch.setattr(paths, "boards", lambda: tmp_path)
    core = tmp_path / "core" / "platforms" / "ststm32" / "boards"
    core.mkdir(parents=True)
    description(core, "nucleo_f446re")
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path / "core"))
    result = run_json(capfd, "boards", "--add", "nucleo_f446re")
    assert result["boards"][0]["id"] == "nucleo_f446re" and result["notes"]
    assert load_board("nucleo_f446re").flash_bytes == 512 << 10
    assert "already" in fails(capfd, Exit.INPUT, "boards", "--add", "nucleo_f446re")
    assert "has a board 'nothing'" in fails(capfd, Exit.TOOL_MISSING, "boards", "--add", "nothing")
    avr = description(tmp_path, "uno", build={"mcu": "atmega328p"}, frameworks=["arduino"])
    assert "no port of vadgen" in fails(capfd, Exit.INPUT, "boards", "--add", avr)
    (tmp_path / "bad.json").write_text("[]")
    assert "no description" in fails(capfd, Exit.INPUT, "boards", "--add", tmp_path / "bad.json")
