"""The stack's bound, from GCC's call graph and the disassembly; and that no firmware has a heap."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import parts
import pytest
from firmware_model import ASK_DEEP_STACK, BOARDS, MODEL, Build, asking, emulated, usable
from verbs import PADIM, PATCHCORE, QUANTIZED, TINY, run_json

from vadgen.board import load_board
from vadgen.build import stack
from vadgen.build.emulator import stack_high_water
from vadgen.build.size import Sizes, check_budget, measure
from vadgen.errors import Exit, VadgenError
from vadgen.pipeline.budget import plan_for
from vadgen.pipeline.compiler import build_firmware, write_generated
from vadgen.pipeline.shipped import load_shipped

DETECTORS = {
    "diagonal": (*PADIM, "--variant", "diagonal"),
    "full": (*PADIM, "--variant", "full"),
    "adc": QUANTIZED,
    "pqnn": (*QUANTIZED, "--search", "pqnn"),
    "flat": PATCHCORE,
}


@pytest.mark.parametrize(
    ("instruction", "taken"),
    [
        ("push {r4, r5, lr}", 12),
        ("stmdb sp!, {r4, r5, r6, r7, r8, r9, sl, fp, lr}", 36),
        ("vpush {d8-d15}", 64),
        ("vpush {s16-s17}", 8),
        ("str.w lr, [sp, #-4]!", 4),
        ("strd r4, r5, [sp, #-24]!", 24),
        ("sub sp, #128", 128),
        ("sub.w sp, sp, #1024", 1024),
        ("sub sp, r3", None),
        ("sub.w sp, sp, r4", None),
        ("add sp, #128", 0),
        ("ldmia.w sp!, {r4, pc}", 0),
        ("str r0, [sp, #4]", 0),
        ("add sp,sp,-32", 32),
        ("addi sp,sp,-1040", 1040),
        ("addi sp,sp,32", 0),
        ("sub sp,sp,t0", None),
        ("sub a1,a1,a2", 0),
        ("addi a1,a1,-4", 0),
        ("addi a1, a1, -48", 48),
        ("sub a1, a1, a9", None),
    ],
)
def test_what_an_instruction_takes(instruction: str, taken: int | None) -> None:
    word, _, operands = instruction.partition(" ")
    assert stack._taken(word, operands) == taken


def graph(**functions: tuple[int | None, str]) -> dict[str, stack._Function]:
    return {
        name: stack._Function(frame, set(calls.split()))
        for name, (frame, calls) in functions.items()
    }


def test_the_deepest_path() -> None:
    found = graph(vad_reset=(8, "a b"), a=(100, "c"), b=(16, "c d"), c=(4, ""), d=(200, ""))
    assert stack._deepest(found, {}) == (224, ("vad_reset", "b", "d"))


@pytest.mark.parametrize(
    ("functions", "why"),
    [
        ({"vad_reset": (8, "a"), "a": (8, "b"), "b": (0, "a")}, "a may call itself"),
        ({"vad_reset": (8, "a"), "a": (None, "")}, "the frame of a is not known"),
        ({"vad_reset": (8, "missing")}, "the frame of missing is not known"),
        ({"main": (8, "")}, "the start of the firmware"),
    ],
)
def test_there_is_no_bound(functions: dict[str, tuple[int | None, str]], why: str) -> None:
    with pytest.raises(stack._Unbounded, match=why):
        stack._deepest(graph(**functions), {})


def test_an_unknown_pointer_leaves_no_bound() -> None:
    found = graph(vad_reset=(8, "a"), a=(8, ""))
    found["a"].files.add("somewhere.c")
    with pytest.raises(stack._Unbounded, match="a calls through a pointer"):
        stack._deepest(found, {})


@pytest.mark.parametrize("name", emulated("qemu_rv32"))
def test_gcc_and_the_disassembly_agree(name: str, build: Build) -> None:
    board, elf = load_board(name), build(name)
    assert board.toolchain is not None
    told: dict[str, int] = {}
    for path in elf.parent.rglob("*.ci"):
        for node in filter(None, map(stack._NODE.match, path.read_text().splitlines())):
            told[stack._name(node[1])] = int(node[2])
    read = stack._disassembled(elf, f"{board.toolchain.prefix}objdump")
    both = {name: read[name].frame for name in told if name in read}
    assert len(both) > 30
    # None: calls through a pointer.
    assert {n: f for n, f in both.items() if f not in (None, told[n])} == {}


@pytest.mark.parametrize("name", emulated("qemu_rv32"))
def test_the_bound_holds_and_is_near(name: str, build: Build) -> None:
    """An inference that goes as deep as the model can."""
    elf, board = build(name), load_board(name)
    found = stack.measure_stack(elf, elf.parent, board)
    assert found is not None and found.bound is not None, found
    assert found.path[-3:] == ("feed_row", "vad_model_feed_row", "vad_deep")
    used = stack_high_water(elf, board, asking(ASK_DEEP_STACK))
    assert 0 <= found.bound - used < 200


def test_a_board_without_a_stack_of_its_own(build: Build) -> None:
    board = load_board("host")
    sizes = measure(build("host"), board, build("host").parent)
    assert sizes.stack is None and sizes.heap == ()


def test_a_stack_that_is_too_small_is_refused(tmp_path: Path) -> None:
    board = replace(usable("qemu_m7"), stack_bytes=1024)
    with pytest.raises(VadgenError, match=r"its stack by \d+ bytes .*> vad_deep\)") as caught:
        build_firmware(tmp_path, board, MODEL)
    assert caught.value.code is Exit.DOES_NOT_FIT
    assert "stack_bytes in boards/qemu_m7.toml" in caught.value.hint


# --- no heap --------------------------------------------------------------------------------------


def test_a_firmware_with_a_heap_is_refused(tmp_path: Path) -> None:
    generated = shutil.copytree(MODEL, tmp_path / "generated")
    source = generated / "vad_model.c"
    text = source.read_text().replace(
        "*m = (vad_model_t)", "keep(malloc(7));\n    *m = (vad_model_t)"
    )
    text = text.replace(
        "void vad_model_begin(",
        "static void *volatile kept;\n"
        "void keep(void *it);\n"
        "void keep(void *it) {\n    kept = it;\n}\n"
        "void *_sbrk(ptrdiff_t n);\n"
        "void *_sbrk(ptrdiff_t n) {\n    static char heap[64];\n    return heap + n;\n}\n"
        "void vad_model_begin(",
        1,
    )
    source.write_text(
        text.replace("#include <stddef.h>", "#include <stddef.h>\n#include <stdlib.h>")
    )
    with pytest.raises(VadgenError, match=r"has a heap: .*\bmalloc\b") as caught:
        build_firmware(tmp_path / "out", usable("qemu_m7"), generated)
    assert caught.value.code is Exit.INPUT


@pytest.mark.parametrize(
    "name", ["_sbrk", "_malloc_r", "free", "_Znwj", "_ZdlPv", "malloc@GLIBC_2"]
)
def test_names_of_a_heap(name: str) -> None:
    from vadgen.build.size import _HEAP

    assert _HEAP.fullmatch(name.partition("@")[0])
    with pytest.raises(VadgenError, match="has a heap"):
        check_budget(Sizes({}, {}, 1, 1, heap=(name,)), load_board("qemu_m7"))
    check_budget(Sizes({}, {}, 1, 1, heap=(name,)), load_board("esp32s3"))  # ESP-IDF has its own


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("boards", [BOARDS[:1], pytest.param(BOARDS[1:], marks=pytest.mark.slow)])
def test_no_heap_and_a_bounded_stack(
    detector: str, boards: tuple[str, ...], tmp_path: Path, capfd: Any
) -> None:
    """One model of each detector, linked for the boards."""
    data, out = parts.write_good(tmp_path / "data"), tmp_path / "model"
    argv = ("--data", data, *TINY, *DETECTORS[detector], "--out", out)
    run_json(capfd, "build", "--board", "host", *argv)
    shipped = load_shipped(out)
    image = np.load(out / "vectors" / "images.npy")[0]
    for name in boards:
        board, work = usable(name), tmp_path / name
        work.mkdir()
        generated = write_generated(
            work,
            plan_for(shipped.program, board, shipped.detector),
            shipped.source,
            input_table=shipped.input_table,
            detector=shipped.code(),
        )
        firmware = build_firmware(work, board, generated).painted(board, image)
        assert firmware.sizes is not None and firmware.sizes.heap == ()
        found = firmware.sizes.stack
        assert found is not None and found.painted is not None and found.bound is not None, found
        assert 400 < found.painted <= found.bound < found.set_aside
