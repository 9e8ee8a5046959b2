"""Chooses segments and kernels, proves the schedule, places every buffer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vadgen.kernels import find
from vadgen.kernels.base import Call, Compact, Kernel, Planes
from vadgen.lower import Layer, Program
from vadgen.plan.arena import Block, align, place
from vadgen.plan.nodes import Node, build_nodes, sink_nodes, with_sink
from vadgen.plan.schedule import Segment, Simulator
from vadgen.sink import Sink


@dataclass(frozen=True)
class Ring:
    """Where a value's rows lie: row y at `offset + (y % ring) * pitch`; planes or pixels."""

    offset: int
    pitch: int
    ring: int
    rows: int
    planes: Planes | None


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything the templates print and the budget counts.

    Attributes:
        program: the integer layers; its last values are those that the detector's steps make.
        nodes: steps in program order.
        calls: the kernel call of each layer.
        segments: the cuts, in order.
        rings: by value index.
        scratch_offsets: by node index, where it finds its scratch; only those that use it.
        rows_bytes: of rings and scratch, which lie in one buffer.
        arena_bytes: that and the detector's own buffer.
        scratch_bytes: the most that a kernel or a step of the detector uses in the arena.
        state_bytes: of the detector's own buffer: what it keeps, and its steps' scratch if `apart`.
        apart: where its steps' scratch lies in that buffer; None when it lies in the arena.
    """

    program: Program
    nodes: tuple[Node, ...]
    calls: tuple[Call, ...]
    segments: tuple[Segment, ...]
    rings: Mapping[int, Ring]
    scratch_offsets: Mapping[int, int]
    rows_bytes: int
    arena_bytes: int
    scratch_bytes: int
    state_bytes: int
    apart: int | None = None

    @property
    def detector_values(self) -> tuple[int, ...]:
        """Values that the detector's steps make."""
        makers = (node for node in self.nodes if node.step is not None)
        return tuple(node.output for node in makers if node.output is not None)

    @property
    def waiting_bytes(self) -> int:
        """RAM of what the detector's steps make for one another."""
        rings = (self.rings[value] for value in self.detector_values)
        return sum(ring.ring * ring.pitch for ring in rings)

    @property
    def constant_bytes(self) -> int:
        """Flash of the kernels' constants."""
        return sum(call.constant_bytes for call in self.calls)


# Speed may cost this much more memory than the smallest plan, or this share of its rows: the
# application has a use for the rest, and planes of ever larger rows save ever less for a byte.
_SPARE_BYTES, _SPARE_SHARE = 16 * 1024, 8
# Where flash is to be spared, a byte of constants has to save so many instructions an inference.
_BYTE_WORTH = 80
_LITTLE_ROOM = 1024
"""Scratch of a kernel where memory is short."""


def make_plan(
    program: Program,
    kernels: tuple[str, ...],
    sink: Sink | None = None,
    ram_bytes: int | None = None,
    flash_bytes: int | None = None,
    fills: bool = False,
    spares: bool = False,
    apart: bool = False,
) -> Plan:
    """Plans a program for a board: few instructions within its memory.

    Planes make a plan faster and larger. It takes those that save most instructions for their
    bytes, while the arena stays within `ram_bytes` and near the smallest one that is possible.
    Compact constants make it smaller and slower: where flash is short it takes those that cost
    fewest instructions for their bytes. What cannot be kept to is come as near to as can be.

    Args:
        program: the integer layers.
        kernels: kernel sets in order of preference.
        sink: the detector, or None.
        ram_bytes: what the arena should fit, or None.
        flash_bytes: what the kernels' constants should fit, or None.
        fills: whether all of `ram_bytes` may be taken for speed.
        spares: whether constants become compact where that hardly costs instructions, so that flash
            is left for others.
        apart: whether scratch of the detector's steps lies in its own buffer, which may be in
            another memory, and not in the arena, where its time is shared.
    """
    draft = _Draft(program, kernels, sink, apart)
    draft.compact = draft.compacted(flash_bytes, spares)
    small = draft.plan({})
    if ram_bytes is not None and small.arena_bytes > ram_bytes:
        draft.room = _LITTLE_ROOM
        small = draft.plan({})
    rows = small.arena_bytes - small.state_bytes
    limit = small.arena_bytes + max(_SPARE_BYTES, rows // _SPARE_SHARE)
    if ram_bytes is not None:
        limit = ram_bytes if fills else min(limit, ram_bytes)
    chosen = draft.possible_planes()
    if not chosen:
        return small
    dropped: dict[int, Planes] = {}
    plan = draft.plan(chosen)
    while plan.arena_bytes > limit and chosen:
        value = draft.least_worth(plan, chosen)
        dropped[value] = chosen.pop(value)
        plan = draft.plan(chosen)
    # What was dropped before something larger was may fit again.
    for value, planes in sorted(dropped.items(), key=lambda item: -item[1].saves):
        more = draft.plan({**chosen, value: planes})
        if more.arena_bytes <= limit:
            chosen[value], plan = planes, more
    return plan


def plan_sink(taps: Program, sink: Sink) -> Plan:
    """The plan of a detector alone, where all rows of the taps are there before its first step.

    That is so behind a network that another runtime runs. The taps' rings are whole, their offsets
    0: where each tap lies is the caller's to say; the arena holds what the detector makes of them.

    Args:
        taps: a program without layers whose values are the taps, its outputs all of them.
        sink: the detector.
    """
    program = with_sink(taps, sink)
    nodes = sink_nodes(program, sink)
    pitch = {v.index: align(v.row_bytes, 4) for v in program.values}
    pitch.update((v.index, v.row_bytes) for v in taps.values)
    return _plan(program, nodes, (), Simulator(program, nodes), {}, pitch, sink, False)


def most_scratch(
    program: Program,
    kernels: tuple[str, ...],
    sink: Sink,
    fits: Callable[[Plan], bool],
    apart: bool = False,
) -> int:
    """Bytes that the detector's last step may use while it runs, so that the smallest plan fits.

    Args:
        program: the integer layers.
        kernels: kernel sets in order of preference.
        sink: the detector, the scratch of its last step not counted.
        fits: whether a plan does.
        apart: as for `make_plan`.

    Returns:
        A multiple of 64; 0 also where nothing fits.
    """
    draft = _Draft(program, kernels, sink, apart)
    draft.room = _LITTLE_ROOM

    def does(units: int) -> bool:
        draft.take_scratch(64 * units)
        return fits(draft.plan({}))

    least, most = 0, 1
    while does(most):
        least, most = most, 4 * most
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if does(middle) else (least, middle)
    return 64 * least


def least_constant_bytes(program: Program, kernels: tuple[str, ...]) -> int:
    """Flash of the kernels' constants in their smallest layouts."""
    draft = _Draft(program, kernels, None)
    return draft.constant_bytes - sum(c.saves for c in draft.possible_compact().values())


class _Draft:
    """Plans of one program that differ in which values are planes, and in their constants."""

    def __init__(
        self, program: Program, kernels: tuple[str, ...], sink: Sink | None, apart: bool = False
    ) -> None:
        self.program = with_sink(program, sink) if sink else program
        self.kernels = [find(layer, program, kernels) for layer in program.layers]
        self.nodes = build_nodes(self.program, sink)
        self.simulator = Simulator(self.program, self.nodes)
        self.sink = sink
        self.apart = apart
        self.room: int | None = None
        self.compact: frozenset[int] = frozenset()

    def take_scratch(self, scratch_bytes: int) -> None:
        """Gives the detector's last step so much scratch."""
        assert self.sink is not None
        *others, old = self.sink.steps
        last = replace(old, scratch_bytes=scratch_bytes)
        self.sink = replace(self.sink, steps=(*others, last))
        self.nodes = tuple(replace(n, step=last) if n.step is old else n for n in self.nodes)

    @property
    def constant_bytes(self) -> int:
        """Flash of all constants in their fastest layouts."""
        pairs = zip(self.kernels, self.program.layers, strict=True)
        return sum(kernel.pack(layer, self.program).constant_bytes for kernel, layer in pairs)

    def possible_compact(self) -> dict[int, Compact]:
        """Layers whose kernel has a smaller layout."""
        pairs = enumerate(zip(self.kernels, self.program.layers, strict=True))
        return {i: k.compact(la, self.program) for i, (k, la) in pairs if k.compact is not None}

    def compacted(self, limit: int | None, spares: bool) -> frozenset[int]:
        """Layers to keep compact: the cheap ones if it spares, and so many that `limit` is kept."""
        possible = self.possible_compact()
        worth = _BYTE_WORTH if spares else 0
        cheap = {i for i, c in possible.items() if c.costs <= worth * c.saves}
        if limit is None:
            return frozenset(cheap)
        total = self.constant_bytes - sum(possible[i].saves for i in cheap)
        chosen: list[int] = []
        for i in sorted(
            possible.keys() - cheap, key=lambda i: possible[i].costs / possible[i].saves
        ):
            if total <= limit:
                break
            chosen.append(i)
            total -= possible[i].saves
        # A large one that came last may have made earlier ones needless.
        for i in sorted(chosen, key=lambda i: -possible[i].costs):
            if total + possible[i].saves <= limit:
                chosen.remove(i)
                total += possible[i].saves
        return frozenset(cheap.union(chosen))

    def possible_planes(self) -> dict[int, Planes]:
        """Values whose maker writes planes, and whose only reader reads them."""
        found = {}
        for kernel, layer in zip(self.kernels, self.program.layers, strict=True):
            readers = [self.nodes[i].layer for i in self.simulator.consumers[layer.output]]
            if layer.output in self.program.outputs or len(readers) != 1 or readers[0] is None:
                continue
            reads = self.kernels[readers[0]].reads_planes
            if reads is None or kernel.writes_planes is None:
                continue
            planes = reads(self.program.layers[readers[0]], self.program)
            if planes is not None and kernel.writes_planes(layer, self.program, planes):
                found[layer.output] = planes
        return found

    def plan(self, planes: Mapping[int, Planes]) -> Plan:
        """The plan in which these values are planes."""
        program = self.program
        calls = tuple(
            self._pack(i, kernel, layer, planes)
            for i, (kernel, layer) in enumerate(zip(self.kernels, program.layers, strict=True))
        )
        pitch = {
            v.index: align(planes[v.index].row_bytes if v.index in planes else v.row_bytes, 4)
            for v in program.values
        }
        return _plan(
            program, self.nodes, calls, self.simulator, planes, pitch, self.sink, self.apart
        )

    def _pack(self, i: int, kernel: Kernel, layer: Layer, planes: Mapping[int, Planes]) -> Call:
        options: dict[str, Any] = {}
        if layer.inputs[0] in planes:
            options["reads"] = planes[layer.inputs[0]]
        if layer.output in planes:
            options["writes"] = planes[layer.output]
        if kernel.takes_room and self.room is not None:
            options["room"] = self.room
        if i not in self.compact:
            return kernel.pack(layer, self.program, **options)
        return replace(kernel.pack(layer, self.program, compact=True, **options), is_compact=True)

    def least_worth(self, plan: Plan, planes: Mapping[int, Planes]) -> int:
        """Of the planes that take part in the fullest segment, those that save least for a byte."""
        pitch = {v: ring.pitch for v, ring in plan.rings.items()}
        whole = {v: ring.rows * ring.pitch for v, ring in plan.rings.items()}
        scratch = scratch_by_node(plan.nodes, plan.calls, self.apart)
        fullest = max(
            plan.segments,
            key=lambda s: _segment_bytes(self.simulator, s, whole, pitch, scratch),
        )
        inside = [
            v
            for v in planes
            if self.simulator.producer[v] <= fullest.last
            and self.simulator.last_use[v] >= fullest.first
        ]

        def worth(value: int) -> float:
            more = planes[value].row_bytes - self.program.values[value].row_bytes
            return planes[value].saves / (plan.rings[value].ring * more) if more else math.inf

        return min(inside or planes, key=worth)


def _plan(
    program: Program,
    nodes: tuple[Node, ...],
    calls: tuple[Call, ...],
    simulator: Simulator,
    planes: Mapping[int, Planes],
    pitch: Mapping[int, int],
    sink: Sink | None,
    apart: bool,
) -> Plan:
    scratch = scratch_by_node(nodes, calls, apart)
    segments = _cut(program, simulator, pitch, scratch)
    check_schedule(program, nodes, segments)
    state_bytes = sink.state_bytes if sink else 0
    plan = _place(program, nodes, calls, segments, simulator, planes, pitch, scratch, state_bytes)
    if sink is None or not apart:
        return plan
    start = align(state_bytes)
    size = start + sink.scratch_bytes
    return replace(plan, apart=start, state_bytes=size, arena_bytes=plan.rows_bytes + align(size))


def scratch_by_node(nodes: Sequence[Node], calls: Sequence[Call], apart: bool = False) -> list[int]:
    """Bytes of scratch in the arena; `apart`, the detector's steps have theirs elsewhere."""

    def of(node: Node) -> int:
        if node.layer is not None:
            return calls[node.layer].scratch_bytes
        return 0 if node.step is None or apart else node.step.scratch_bytes

    return [of(node) for node in nodes]


def _cut(
    program: Program,
    simulator: Simulator,
    pitch: Mapping[int, int],
    scratch: Sequence[int],
) -> tuple[Segment, ...]:
    """The segmentation whose most demanding segment needs least memory.

    Shortest path over the places between nodes. A segment needs its rings, the whole of every value
    that is alive in it but not in it alone, and its kernels' scratch. Longer segments from the same
    start only need more for their rings, so the search stops where these alone exceed the best. It
    also stops before a node that wants the whole of a value: what comes before is complete then.
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
            if last > first and simulator.waits(last, first):
                break
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
    makers = {node.output for node in nodes}
    held = {v: [-1] * n if v in makers else list(range(n)) for v, n in rings.items()}
    made = [0] * len(nodes)
    for segment in segments:
        for index in segment.order:
            node, y = nodes[index], made[index]
            for value, window in zip(node.inputs, node.windows, strict=True):
                start = window.start(y)
                for row in range(
                    max(start, 0), min(start + window.count, program.values[value].rows)
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
    planes: Mapping[int, Planes],
    pitch: Mapping[int, int],
    scratch: Sequence[int],
    state_bytes: int,
) -> Plan:
    segment_of = {i: s for s, seg in enumerate(segments) for i in range(seg.first, seg.last + 1)}
    blocks: list[Block] = []
    rows = {}
    for value in program.values:
        if value.index not in simulator.producer:
            rows[value.index] = value.rows
            continue
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
    for i, segment in enumerate(segments):
        need = max(scratch[segment.first : segment.last + 1])
        if need:
            blocks.append(Block(f"scratch {i}", need, i, i))
    offsets, placed = place(blocks)
    rows_bytes = placed + align(max((call.reads_past for call in calls), default=0))
    rings = {
        v.index: Ring(
            offsets.get(str(v.index), 0),
            pitch[v.index],
            rows[v.index],
            v.rows,
            planes.get(v.index),
        )
        for v in program.values
    }
    return Plan(
        program,
        nodes,
        calls,
        segments,
        rings,
        {n.index: offsets[f"scratch {segment_of[n.index]}"] for n in nodes if scratch[n.index]},
        rows_bytes,
        rows_bytes + align(state_bytes),
        max(scratch),
        state_bytes,
    )
