"""Instruction counts: exact, repeatable, whole."""

from __future__ import annotations

import pytest
from firmware_model import ASK_DEEP_STACK, ASK_TRAP, Build, asking, emulated

from vadgen.board import load_board
from vadgen.build import icount
from vadgen.errors import VadgenError


@pytest.mark.parametrize("name", emulated())
def test_counts_are_repeatable_and_whole(name: str, build: Build) -> None:
    elf, board = build(name), load_board(name)
    counts = icount.count(elf, board, asking(0))
    assert counts.reason == ""
    assert counts.total == sum(counts.by_function.values())
    assert counts.total == sum(counts.by_step.values()) + counts.before_steps
    assert set(counts.by_step) == {0, 1}
    assert not {"main", "write_row", "vad_port_read", "?"} & set(counts.by_function)
    assert icount.count(elf, board, asking(0)) == counts


def test_counts_are_exact(build: Build) -> None:
    counts = icount.count(build("qemu_m7"), load_board("qemu_m7"), asking(0))
    assert counts.by_function["vad_eleven_instructions"] == 8 * 11
    assert counts.by_step[0] > 8 * 11 > 0
    # Step 1 runs on two of eight rows, and its count holds the rest of these rows.
    assert counts.by_step[1] >= counts.by_function["vad_model_step_01"]


def test_more_work_counts_more(build: Build) -> None:
    elf, board = build("qemu_m4"), load_board("qemu_m4")
    shallow = icount.count(elf, board, asking(0))
    deep = icount.count(elf, board, asking(ASK_DEEP_STACK))
    more = deep.by_function["vad_deep"]
    assert more > 3 * 1024
    assert deep.total is not None and shallow.total is not None
    assert more <= deep.total - shallow.total < more + 40


def test_without_the_plugin_there_is_a_reason(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_compiler(program: str, package: str) -> None:
        raise VadgenError(f"{program} not found", f"install {package}")

    elf, board = build("qemu_m7"), load_board("qemu_m7")
    with monkeypatch.context() as patch:
        patch.setattr(icount, "_compiled_plugin", lambda qemu: no_compiler("gcc", "gcc"))
        counts = icount.count(elf, board, asking(0))
        assert (counts.total, counts.by_function, counts.reason) == (None, {}, "gcc not found")
        patch.setattr(icount, "_compiled_plugin", lambda qemu: elf)
        counts = icount.count(elf, board, asking(0))
        assert counts.total is None
        assert "failed" in counts.reason
    counts = icount.count(elf, board, asking(ASK_TRAP))
    assert counts.total is None
    assert "exception" in counts.reason
