"""Plans: layouts, budgets, the proof of the schedule, the table."""

from __future__ import annotations

from dataclasses import replace

import pytest
from graphs import GraphBuilder, random_graph

from vadgen.lower import Program, RowWindow, Value, lower
from vadgen.plan import planner
from vadgen.plan.explain import explain_plan
from vadgen.plan.planner import (
    Plan,
    check_schedule,
    least_constant_bytes,
    make_plan,
    plan_sink,
)
from vadgen.sink import Sink, SinkStep, tap_by_tap

DSP = ("dsp", "portable")


def network(*, tapped: bool = False, width: int = 32) -> Program:
    """Two inverted residuals: the stem and both expansions feed a depthwise convolution."""
    b = GraphBuilder(3, (1, 2 * width, 2 * width, 3))
    stem = b.conv(b.input, 16, (3, 3), (2, 2), activation="RELU6")
    x = b.conv(b.depthwise(stem, activation="RELU6"), 8, scale=0.05)
    expanded = []
    for stride in ((1, 1), (2, 2)):
        expanded.append(b.conv(x, 48, activation="RELU6"))
        d = b.depthwise(expanded[-1], (3, 3), stride, activation="RELU6")
        p = b.conv(d, 8, scale=0.05)
        x = b.add(x, p) if stride == (1, 1) else p
    return lower(b.graph(expanded[0], x) if tapped else b.graph(x))


def planes(plan: Plan) -> set[int]:
    return {value for value, ring in plan.rings.items() if ring.planes is not None}


def test_planes_lie_before_depthwise_convolutions() -> None:
    plan = make_plan(network(), DSP)
    functions = {i: call.function for i, call in enumerate(plan.calls)}
    readers = [layer for layer in plan.program.layers if layer.inputs[0] in planes(plan)]
    assert len(readers) == 3
    assert {functions[layer.output - 1] for layer in readers} == {"vad_depthwise_dsp_planes"}
    for value in planes(plan):
        ring, shape = plan.rings[value], plan.program.values[value]
        assert ring.planes is not None
        assert ring.pitch == ring.planes.row_bytes >= 2 * shape.row_bytes


def test_outputs_are_never_planes() -> None:
    plan = make_plan(network(tapped=True), DSP)
    assert len(planes(plan)) == 2
    assert not planes(plan) & set(plan.program.outputs)


def test_only_kernels_that_agree_make_planes() -> None:
    assert not planes(make_plan(network(), ("portable",)))


def test_planes_fit_the_memory() -> None:
    program = network()
    least = make_plan(program, DSP, ram_bytes=0)
    most = make_plan(program, DSP)
    assert not planes(least)
    assert len(planes(most)) == 3
    previous = 0
    for ram in range(least.arena_bytes, most.arena_bytes + 1, 512):
        plan = make_plan(program, DSP, ram_bytes=ram)
        assert plan.arena_bytes <= ram
        saved = sum(r.planes.saves for r in plan.rings.values() if r.planes is not None)
        assert saved >= previous - 1
        previous = max(previous, saved)
    assert 0 < previous


def test_kernels_take_less_room_where_memory_is_short() -> None:
    b = GraphBuilder(1, (1, 24, 24, 64))
    program = lower(b.graph(b.conv(b.conv(b.input, 64), 8)))
    roomy = make_plan(program, DSP)
    short = make_plan(program, DSP, ram_bytes=roomy.arena_bytes - 1)
    assert short.arena_bytes < roomy.arena_bytes
    assert max(c.scratch_bytes for c in short.calls) <= 1024 + 1040 < roomy.scratch_bytes


def test_planes_do_not_take_all_memory_that_there_is() -> None:
    """Where they would need much more than the smallest plan, the application keeps it."""
    program = network(width=200)
    least = make_plan(program, DSP, ram_bytes=0)
    plan = make_plan(program, DSP, ram_bytes=1 << 30)
    assert plan.arena_bytes <= least.arena_bytes + max(16 * 1024, least.arena_bytes // 8)


def test_all_memory_is_taken_for_speed_where_it_is_given() -> None:
    program = network(width=200)
    usual = make_plan(program, DSP, ram_bytes=1 << 30)
    filled = make_plan(program, DSP, ram_bytes=1 << 30, fills=True)
    assert planes(usual) < planes(filled)
    within = make_plan(program, DSP, ram_bytes=filled.arena_bytes - 1, fills=True)
    assert usual.arena_bytes <= within.arena_bytes < filled.arena_bytes


def test_constants_fit_the_flash() -> None:
    program = network()
    most, least = make_plan(program, DSP).constant_bytes, least_constant_bytes(program, DSP)
    assert least < most
    for flash in range(least, most + 1, 200):
        plan = make_plan(program, DSP, flash_bytes=flash)
        assert plan.constant_bytes <= flash
    assert make_plan(program, DSP, flash_bytes=most).constant_bytes == most
    assert make_plan(program, DSP, flash_bytes=0).constant_bytes == least


def test_the_constants_that_cost_least_become_compact() -> None:
    """The second depthwise convolution has stride 2: as many bytes, half as many rows."""
    program = network()
    whole = make_plan(program, DSP)
    plan = make_plan(program, DSP, flash_bytes=whole.constant_bytes - 1)
    smaller = [
        program.layers[i].label
        for i, (a, b) in enumerate(zip(whole.calls, plan.calls, strict=True))
        if b.constant_bytes < a.constant_bytes
    ]
    assert smaller == ["08 DEPTHWISE_CONV_2D"]


def test_cheap_constants_are_compact_only_where_flash_is_spared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = network()
    fastest = make_plan(program, DSP).constant_bytes
    monkeypatch.setattr(planner, "_BYTE_WORTH", 1 << 40)
    least = least_constant_bytes(program, DSP)
    assert make_plan(program, DSP, spares=True).constant_bytes == least
    assert make_plan(program, DSP).constant_bytes == fastest > least


def test_state_and_scratch_lie_beside_the_rows() -> None:
    plan = make_plan(network(), DSP, tap_by_tap((16,), 1000))
    spans = [(plan.rows_bytes, plan.rows_bytes + 1000)]
    for value, ring in plan.rings.items():
        span = (ring.offset, ring.offset + ring.ring * ring.pitch)
        assert span[1] <= plan.arena_bytes, value
        assert all(span[1] <= start or end <= span[0] for start, end in spans), value
    for node, offset in plan.scratch_offsets.items():
        layer = plan.nodes[node].layer
        assert layer is not None
        end = offset + plan.calls[layer].scratch_bytes
        assert end <= plan.arena_bytes
        for value in (*plan.nodes[node].inputs, plan.nodes[node].output):
            assert value is not None
            ring = plan.rings[value]
            rows = (ring.offset, ring.offset + ring.ring * ring.pitch)
            assert end <= rows[0] or rows[1] <= offset, (node, value)


@pytest.mark.parametrize("seed", range(30))
def test_rings_that_are_a_row_short_are_found_out(seed: int) -> None:
    plan = make_plan(lower(random_graph(seed)), ("portable",))
    check_schedule(plan.program, plan.nodes, plan.segments)
    for i, segment in enumerate(plan.segments):
        for value, rows in segment.rings.items():
            if rows == 1:
                continue
            less = replace(segment, rings={**segment.rings, value: rows - 1})
            segments = (*plan.segments[:i], less, *plan.segments[i + 1 :])
            with pytest.raises(AssertionError):
                check_schedule(plan.program, plan.nodes, segments)


def pair(fine: int, coarse: int, scratch: int = 0) -> Sink:
    """Sums of the fine tap's rows wait for the coarse tap's."""
    sums = SinkStep("sums", (0,), (RowWindow(2, 0, 2),), fine // 2, 8, 2)
    windows = (RowWindow(fine // 2, 0, -(-fine // 2 // coarse), coarse), RowWindow())
    return Sink((sums, SinkStep("score", (2, 1), windows, coarse, 0, 0, scratch)), 100)


def test_what_a_detector_makes_is_a_ring_of_the_rows_that_wait() -> None:
    program = network(tapped=True)
    sink = pair(32, 16)
    plan = make_plan(program, DSP, sink)
    made = plan.detector_values
    assert list(made) == [len(program.values)]
    labels = [node.label for node in plan.nodes]
    assert labels.index("sums") == 1 + next(
        n.index for n in plan.nodes if n.output == program.outputs[0]
    )
    assert labels[-1] == "score"
    ring = plan.rings[made[0]]
    assert (ring.rows, ring.pitch) == (16, 16)
    rings = [n for s in plan.segments for v, n in s.rings.items() if v == made[0]]
    assert ring.ring == (rings[0] if rings else 16)
    assert plan.arena_bytes - plan.rows_bytes == 104


def test_a_cut_between_the_taps_keeps_all_rows_that_wait() -> None:
    """And the plan weighs that: with rows of 4 KiB it makes no such cut."""
    program = network(tapped=True)
    few = pair(32, 16)
    many = replace(few, steps=(replace(few.steps[0], cell_bytes=512), few.steps[1]))
    plan = make_plan(program, ("portable",), many)
    assert plan.rings[plan.detector_values[0]].ring < 8


def test_scratch_of_a_detector_shares_the_arena_unless_it_lies_apart() -> None:
    program = network(tapped=True)
    without = make_plan(program, DSP, pair(32, 16))
    shared = make_plan(program, DSP, pair(32, 16, 1000))
    apart = make_plan(program, DSP, pair(32, 16, 1000), apart=True)
    assert without.rows_bytes <= shared.rows_bytes < without.rows_bytes + 1000
    assert (apart.rows_bytes, apart.apart) == (without.rows_bytes, 104)
    assert apart.arena_bytes == apart.rows_bytes + 104 + 1000
    assert shared.scratch_offsets.keys() - apart.scratch_offsets.keys() == {len(shared.nodes) - 1}


def test_a_detector_behind_another_runtime_finds_its_taps_whole() -> None:
    taps = tuple(Value(i, "tap", n, n, 3, 1.0, 0) for i, n in enumerate((32, 16)))
    plan = plan_sink(Program(taps, (), (0, 1)), pair(32, 16, 50))
    assert [node.label for node in plan.nodes] == ["taps", "sums", "score"]
    assert [(r.offset, r.pitch, r.ring) for v, r in plan.rings.items() if v < 2] == [
        (0, 96, 32),
        (0, 48, 16),
    ]
    assert (plan.rings[2].ring, plan.rows_bytes) == (1, 16 + 56)
    assert [i for s in plan.segments for i in s.order] == [1, 2] * 16


def test_the_table_has_a_row_a_step() -> None:
    plan = make_plan(network(), DSP, tap_by_tap((16,), 100), flash_bytes=0)
    table = explain_plan(plan, {1: 77})
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    assert [row["step"] for row in rows] == list(range(len(plan.nodes)))
    stem = rows[1]
    assert (stem["output"], stem["kernel"]) == ("32x32x16", "vad_conv2d_dsp")
    assert (stem["layout"], stem["rows kept"], stem["rows"]) == ("planes", 3, 32)
    assert (stem["bytes"], stem["instructions"]) == (3 * 16 * 34 * 2, 77)
    assert (stem["segment"], stem["runs"]) == (1, "streamed")
    assert {r["constants"] for r in rows if "depthwise" in r["kernel"]} == {"compact"}
    assert rows[-1]["operator"] == "detector, tap 0" and rows[-1]["bytes"] is None
    for row in rows:
        segment = plan.segments[row["segment"] - 1]
        assert segment.first <= row["step"] <= segment.last
        assert (row["runs"] == "whole") == (segment.first == segment.last)
