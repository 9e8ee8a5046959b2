"""What a build takes where the recipe leaves the detector and the input size open."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graphs import GraphBuilder

from vadgen.backbones import load_backbone
from vadgen.board import load_board
from vadgen.errors import Exit, VadgenError
from vadgen.lower import RowWindow, lower
from vadgen.pipeline import budget
from vadgen.pipeline.budget import limited, sections, settle, usual_ranges
from vadgen.pipeline.students import untrained
from vadgen.plan.memory import ARENA, DETECTOR
from vadgen.recipe import PadimOptions, PatchcoreOptions, Recipe
from vadgen.sink import Sink, SinkStep

BOARD = load_board("qemu_m4")
NETWORK = load_backbone("tiny", weights=None, width=1.0, seed=0)
OPEN = Recipe(board="qemu_m4", backbone="tiny", input=32)


def test_patchcore_where_it_fits() -> None:
    settled = settle(OPEN, BOARD, NETWORK)
    assert (settled.input, settled.detector) == (32, "patchcore")
    assert settled.why is not None and "since it fits qemu_m4" in settled.why
    assert settle(replace(OPEN, input=None), BOARD, NETWORK).input > 96


def test_padim_where_it_does_not() -> None:
    settled = settle(OPEN, limited(BOARD, 29 * 1024, None), NETWORK)
    assert settled.detector == "padim"
    assert settled.why is not None
    assert "PatchCore does not fit qemu_m4 at 32 pixels" in settled.why and "bytes" in settled.why
    capped = replace(OPEN, patchcore=PatchcoreOptions(bank_bytes=1024))
    assert settle(capped, BOARD, NETWORK).detector == "padim"


def test_padim_when_its_options_were_given() -> None:
    for options in (PadimOptions(channels=4), PadimOptions(variant="full")):
        assert settle(replace(OPEN, padim=options), BOARD, NETWORK).detector == "padim"


def test_behind_a_relu6_nothing_is_below_zero() -> None:
    ranges = usual_ranges(NETWORK, 32)
    clipped = [getattr(node, "limits", None) == (0.0, 6.0) for node in NETWORK.nodes]
    assert any(clipped) and not all(clipped)
    np.testing.assert_array_equal(ranges.low, np.where(clipped, 0, -8))


def test_a_detector_that_was_asked_for() -> None:
    settled = settle(replace(OPEN, detector="padim"), BOARD, NETWORK)
    assert (settled.detector, settled.why) == ("padim", None)


def test_a_student_is_counted_before_it_is_trained() -> None:
    recipe = replace(OPEN, detector="stfpm", input=None)
    both = untrained(recipe, NETWORK)
    assert len(both.nodes) == 2 * len(NETWORK.nodes)
    shared = untrained(replace(recipe, detector="paste"), NETWORK)
    assert len(NETWORK.nodes) < len(shared.nodes) < len(both.nodes)
    assert untrained(OPEN, NETWORK) is NETWORK
    settled = settle(recipe, BOARD, both)
    assert (settled.input, settled.detector) == (224, "stfpm")
    ram = limited(BOARD, None, 60 * 1024)
    assert settle(recipe, ram, both).input < 224
    with pytest.raises(VadgenError, match=r"tiny with stfpm does not fit qemu_m4") as caught:
        settle(recipe, limited(BOARD, 30 * 1024, None), both)
    assert caught.value.code is Exit.DOES_NOT_FIT


def test_cfa_is_counted_before_it_is_trained() -> None:
    recipe = replace(OPEN, detector="cfa", input=None)
    assert settle(recipe, BOARD, NETWORK).input == 224
    assert settle(recipe, limited(BOARD, None, 32 * 1024), NETWORK).input < 224
    with pytest.raises(
        VadgenError, match=r"tiny with cfa does not fit .*CFA's tables need"
    ) as caught:
        settle(recipe, limited(BOARD, 36 * 1024, None), NETWORK)
    assert caught.value.code is Exit.DOES_NOT_FIT


def test_options_that_contradict_each_other() -> None:
    wrong = replace(OPEN, patchcore=PatchcoreOptions(search="pqnn", codes=9, candidates=10))
    with pytest.raises(VadgenError, match="10 candidates") as caught:
        settle(wrong, BOARD, NETWORK)
    assert caught.value.code is Exit.INPUT


def test_scratch_of_a_detector_lies_apart_where_the_rows_then_fit_faster_memory() -> None:
    """The F405 has 64 KiB of fast memory and 128 KiB of other."""
    board = load_board("stm32f405")
    b = GraphBuilder(2, (1, 32, 32, 3))
    program = lower(b.graph(b.conv(b.input, 16, (3, 3), (2, 2))))
    search = SinkStep("search", (0,), (RowWindow(),), 16, scratch_bytes=3000)
    for scratch, places in ((3000, (".vad_fast", ".vad_fast")), (100_000, (".vad_fast", ""))):
        sink = Sink((replace(search, scratch_bytes=scratch),), 500)
        plan = budget._plan(program, board, sink, 0, False)
        assert (plan.apart is None) == (scratch == 3000)
        assert sections(plan, board) == dict(zip((ARENA, DETECTOR), places, strict=True))
