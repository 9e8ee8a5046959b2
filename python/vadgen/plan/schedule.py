"""The order of rows inside a segment, and from it the rows each ring must hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vadgen.lower import Program
from vadgen.plan.nodes import Node

_SAMPLE_ROWS = 3


@dataclass(frozen=True)
class Segment:
    """Nodes `first .. last` run interleaved, row by row.

    Attributes:
        first, last: node indices, inclusive.
        order: node indices, one entry a row made.
        rings: rows kept of each value that lives in this segment alone.
    """

    first: int
    last: int
    order: tuple[int, ...]
    rings: dict[int, int]


class Simulator:
    """Runs segments of a program without data, counting rows."""

    def __init__(self, program: Program, nodes: Sequence[Node]) -> None:
        self.program = program
        self.nodes = nodes
        self.consumers: dict[int, list[int]] = {v.index: [] for v in program.values}
        self.producer: dict[int, int] = {}
        """By value; those that are given have none."""
        for node in nodes:
            for value in dict.fromkeys(node.inputs):
                self.consumers[value].append(node.index)
            if node.output is not None:
                self.producer[node.output] = node.index
        self.last_use = {
            v: max(self.consumers[v], default=maker) for v, maker in self.producer.items()
        }
        self._known: dict[tuple[int, int, int | None], Segment] = {}

    def waits(self, index: int, first: int) -> bool:
        """Whether a node's every row reads all rows of a value that nodes from `first` on make."""
        node = self.nodes[index]
        return any(
            window.stride == 0 and window.count > 1 and self.producer.get(value, -1) >= first
            for value, window in zip(node.inputs, node.windows, strict=True)
        )

    def run(self, first: int, last: int) -> Segment:
        """Simulates nodes first .. last.

        Each node is asked for its rows one by one, the last node first; a node asks for the rows
        that it lacks. Nodes whose rows nobody in the segment reads run as soon as they can, and so
        do a detector's steps, which make little of much.
        """
        return self._segment(first, last, None)

    def sample(self, first: int, last: int) -> Segment:
        """The first rows of `run`: its rings are those of the whole run but for the borders."""
        return self._segment(first, last, _SAMPLE_ROWS)

    def _segment(self, first: int, last: int, rows: int | None) -> Segment:
        key = (first, last, rows)
        if key not in self._known:
            self._known[key] = _Run(self, first, last).segment(rows)
        return self._known[key]


class _Run:
    """State of one simulation: rows made by node, and the oldest row still needed by value."""

    def __init__(self, simulator: Simulator, first: int, last: int) -> None:
        self.sim = simulator
        self.first, self.last = first, last
        nodes = simulator.nodes
        self.made = {i: 0 for i in range(first, last + 1)}
        self.order: list[int] = []
        self.eager = {i for i in self.made if nodes[i].step is not None}
        self.inside = {
            v: [c for c in simulator.consumers[v] if first <= c <= last]
            for i in range(first, last + 1)
            if (v := nodes[i].output) is not None
        }
        self.ring_values = {v for v in self.inside if simulator.last_use[v] <= last}
        self.oldest = {v: 0 for v in self.ring_values}
        self.rings = {v: 1 for v in self.ring_values}
        self.terminal = [
            i
            for i in range(first, last + 1)
            if (v := nodes[i].output) is None or not self.inside[v]
        ]
        self.eager.update(self.terminal)

    def segment(self, rows: int | None = None) -> Segment:
        """Makes all rows, or of each terminal node the first few."""
        wanted = self.terminal[::-1] + (self._wanted_whole() if rows is None else [])
        for i in wanted:
            while self.made[i] < min(self.sim.nodes[i].rows, rows or self.sim.nodes[i].rows):
                self._pull(i)
        return Segment(self.first, self.last, tuple(self.order), self.rings)

    def _wanted_whole(self) -> list[int]:
        """Nodes whose every row somebody outside reads: the input (it is fed) and the outputs.

        Of other values, rows that no window touches are never made.
        """
        outputs = {self.sim.producer.get(v) for v in self.sim.program.outputs}
        return [i for i in self.made if i == 0 or i in outputs]

    def _span(self, node: Node, value: int) -> tuple[int, int]:
        """Rows of `value` that the node's next row reads, clipped to the tensor."""
        rows = self.sim.program.values[value].rows
        first, last = rows, -1
        for source, window in zip(node.inputs, node.windows, strict=True):
            if source == value:
                start = window.start(self.made[node.index])
                first, last = min(first, start), max(last, start + window.count - 1)
        return max(first, 0), min(last, rows - 1)

    def _ready(self, node: Node) -> bool:
        if self.made[node.index] >= node.rows:
            return False
        for value in node.inputs:
            producer = self.sim.producer.get(value)
            if producer in self.made and self.made[producer] <= self._span(node, value)[1]:
                return False
        return True

    def _pull(self, index: int) -> None:
        """Makes the next row of a node, first whatever it lacks.

        A terminal node may have made it already, pushed by the row it lacked.
        """
        node, row = self.sim.nodes[index], self.made[index]
        for value in node.inputs:
            producer = self.sim.producer.get(value)
            while (
                producer in self.made
                and self.made[index] == row
                and self.made[producer] <= self._span(node, value)[1]
            ):
                self._pull(producer)
        if self.made[index] == row:
            self._make(node)

    def _make(self, node: Node) -> None:
        self.order.append(node.index)
        self.made[node.index] += 1
        value = node.output
        if value is not None:
            if value in self.ring_values:
                live = self.made[node.index] - self.oldest[value]
                self.rings[value] = max(self.rings[value], live)
            for index in self.inside[value]:
                if index in self.eager:
                    while self._ready(self.sim.nodes[index]):
                        self._make(self.sim.nodes[index])
            if value in self.ring_values and not self.inside[value]:
                self.oldest[value] = self.made[node.index]
        for value in node.inputs:
            if value in self.ring_values:
                self.oldest[value] = min(self._next_use(c, value) for c in self.inside[value])

    def _next_use(self, index: int, value: int) -> int:
        node = self.sim.nodes[index]
        if self.made[index] >= node.rows:
            return self.sim.program.values[value].rows
        return self._span(node, value)[0]


def compress(order: Sequence[int]) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Cuts a sequence into (repeat, block): greedily the block that covers most, period <= 255."""
    blocks: list[tuple[int, tuple[int, ...]]] = []
    pending: list[int] = []

    def flush() -> None:
        while pending:
            blocks.append((1, tuple(pending[:255])))
            del pending[:255]

    start = 0
    while start < len(order):
        period, repeat = _best_period(order, start)
        if repeat > 1 and period * (repeat - 1) > 3:
            flush()
            blocks.append((repeat, tuple(order[start : start + period])))
            start += period * repeat
        else:
            pending.append(order[start])
            start += 1
    flush()
    return tuple(blocks)


def _best_period(order: Sequence[int], start: int) -> tuple[int, int]:
    best = (1, 1)
    head = order[start]
    for period in range(1, min(255, (len(order) - start) // 2) + 1):
        if order[start + period] != head:
            continue
        limit = len(order)
        i = start + period
        while i < limit and order[i] == order[i - period]:
            i += 1
        repeat = min((i - start) // period, 255)
        if repeat > 1 and period * repeat > best[0] * best[1]:
            best = (period, repeat)
    return best
