"""Chooses segments and kernels, proves the schedule, places every buffer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vadgen.kernels import select
from vadgen.kernels.base import Call
from vadgen.lower import Program
from vadgen.plan.arena import Block, align, place
from vadgen.plan.nodes import Node, build_nodes
from vadgen.plan.schedule import Segment, Simulator


@dataclass(frozen=True)
class Ring:
    """Where a value's rows lie: row y at `offset + (y % ring) * pitch`."""

    offset: int
    pitch: int
    ring: int
    rows: int


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything the templates print and the budget counts.

    Attributes:
        program: the integer layers.
        nodes: steps in program order.
        calls: the kernel call of each layer.
        segments: the cuts, in order.
        rings: by value index.
        scratch_offset: where kernels find their scratch.
        state_offset: where the detector's state lies.
        arena_bytes: all of the above.
        scratch_bytes, state_bytes: their parts of it.
    """

    program: Program
    nodes: tuple[Node, ...]
    calls: tuple[Call, ...]
    segments: tuple[Segment, ...]
    rings: Mapping[int, Ring]
    scratch_offset: int
    state_offset: int
    arena_bytes: int
    scratch_bytes: int
    state_bytes: int


def make_plan(program: Program, kernels: tuple[str, ...], state_bytes: int | None = None) -> Plan:
    """Plans a program for a board.

    Args:
        program: the integer layers.
        kernels: kernel sets in order of preference.
        state_bytes: what the detector keeps over an image, or None without a detector.
    """
    calls = tuple(select(layer, program, kernels) for layer in program.layers)
    nodes = build_nodes(program, sinks=state_bytes is not None)
    pitch = {v.index: align(v.row_bytes, 4) for v in program.values}
    scratch = [0 if node.layer is None else calls[node.layer].scratch_bytes for node in nodes]
    simulator = Simulator(program, nodes)
    segments = _cut(program, simulator, pitch, scratch)
    check_schedule(program, nodes, segments)
    return _place(program, nodes, calls, segments, simulator, pitch, scratch, state_bytes or 0)


def _cut(
    program: Program,
    simulator: Simulator,
    pitch: Mapping[int, int],
    scratch: Sequence[int],
) -> tuple[Segment, ...]:
    """The segmentation whose most demanding segment needs least memory.

    Shortest path over the places between nodes. A segment needs its rings, the whole of every value
    that is alive in it but not in it alone, and its kernels' scratch. Longer segments from the same
    start only need more for their rings, so the search stops where these alone exceed the best.
    The search looks at the first rows of each segment; the chosen ones are then run to their end.
    """
    count = len(simulator.nodes)
    whole = {v.index: v.rows * pitch[v.index] for v in program.values}
    best: list[tuple[int, int, tuple[Segment, ...]] | None] = [None] * (count + 1)
    best[0] = (0, 0, ())
    bound = _one_by_one(simulator, whole, pitch, scratch)
    for first in range(count):
        head = best[first]
        if head is None:
            continue
        for last in range(first, count):
            segment = simulator.sample(first, last)
            rings = sum(n * pitch[v] for v, n in segment.rings.items())
            if rings > bound:
                break
            peak = max(head[0], _segment_bytes(simulator, segment, whole, pitch, scratch))
            entry = (peak, head[1] + 1, (*head[2], segment))
            there = best[last + 1]
            if peak <= bound and (there is None or entry[:2] < there[:2]):
                best[last + 1] = entry
    final = best[count]
    assert final is not None, "one segment a node is always a path within the bound"
    return tuple(simulator.run(s.first, s.last) for s in final[2])


def _segment_bytes(
    simulator: Simulator,
    segment: Segment,
    whole: Mapping[int, int],
    pitch: Mapping[int, int],
    scratch: Sequence[int],
) -> int:
    alive = sum(
        whole[v]
        for v, producer in simulator.producer.items()
        if producer <= segment.last
        and simulator.last_use[v] >= segment.first
        and v not in segment.rings
    )
    rings = sum(n * pitch[v] for v, n in segment.rings.items())
    return alive + rings + max(scratch[segment.first : segment.last + 1])


def _one_by_one(
    simulator: Simulator,
    whole: Mapping[int, int],
    pitch: Mapping[int, int],
    scratch: Sequence[int],
) -> int:
    """Bytes of the plan with one segment a node: layer by layer."""
    return max(
        _segment_bytes(simulator, simulator.sample(i, i), whole, pitch, scratch)
        for i in range(len(simulator.nodes))
    )


def check_schedule(program: Program, nodes: Sequence[Node], segments: Sequence[Segment]) -> None:
    """Replays the schedule on rings of row numbers: every row read is there, every output complete.

    Raises:
        AssertionError: the schedule is wrong (a defect of the planner, never of the input).
    """
    rings = {v.index: v.rows for v in program.values}
    for segment in segments:
        rings.update(segment.rings)
    held: dict[int, list[int]] = {v: [-1] * n for v, n in rings.items()}
    made = [0] * len(nodes)
    for segment in segments:
        for index in segment.order:
            node, y = nodes[index], made[index]
            for value in node.inputs:
                start = y * node.window.stride + node.window.first
                for row in range(
                    max(start, 0), min(start + node.window.count, program.values[value].rows)
                ):
                    assert held[value][row % rings[value]] == row, (node.label, y, value, row)
            if node.output is not None:
                held[node.output][y % rings[node.output]] = y
            made[index] += 1
    for node in nodes:
        last = node.output is None or node.index == 0 or node.output in program.outputs
        assert made[node.index] == node.rows or not last, (node.label, "rows are missing")


def _place(
    program: Program,
    nodes: tuple[Node, ...],
    calls: tuple[Call, ...],
    segments: tuple[Segment, ...],
    simulator: Simulator,
    pitch: Mapping[int, int],
    scratch: Sequence[int],
    state_bytes: int,
) -> Plan:
    end = len(segments) - 1
    segment_of = {i: s for s, seg in enumerate(segments) for i in range(seg.first, seg.last + 1)}
    blocks = [Block("state", state_bytes, 0, end)] if state_bytes else []
    rows = {}
    for value in program.values:
        made_in = segment_of[simulator.producer[value.index]]
        rows[value.index] = segments[made_in].rings.get(value.index, value.rows)
        blocks.append(
            Block(
                str(value.index),
                rows[value.index] * pitch[value.index],
                made_in,
                segment_of[simulator.last_use[value.index]],
            )
        )
    scratch_bytes = max(scratch)
    if scratch_bytes:
        needs = [max(scratch[s.first : s.last + 1]) for s in segments]
        users = [i for i, n in enumerate(needs) if n]
        blocks.append(Block("scratch", scratch_bytes, users[0], users[-1]))
    offsets, arena_bytes = place(blocks)
    rings = {
        v.index: Ring(offsets[str(v.index)], pitch[v.index], rows[v.index], v.rows)
        for v in program.values
    }
    return Plan(
        program,
        nodes,
        calls,
        segments,
        rings,
        offsets.get("scratch", 0),
        offsets.get("state", 0),
        arena_bytes,
        scratch_bytes,
        state_bytes,
    )
