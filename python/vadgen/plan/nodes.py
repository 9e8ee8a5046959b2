"""The program as nodes that each make (or take) one row at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vadgen.lower import Program, RowWindow, Value
from vadgen.sink import Sink, SinkStep


@dataclass(frozen=True)
class Node:
    """One step of the schedule.

    Attributes:
        index: place in program order; names the step function.
        label: for people.
        layer: index into the program's layers, or None.
        step: of a detector, or None.
        inputs: value indices read.
        output: value index made, or None.
        rows: rows it makes or takes.
        windows: by input, the rows that one of its rows reads.
    """

    index: int
    label: str
    layer: int | None
    step: SinkStep | None
    inputs: tuple[int, ...]
    output: int | None
    rows: int
    windows: tuple[RowWindow, ...]


def with_sink(program: Program, sink: Sink) -> Program:
    """The program whose last values are what the detector's steps make."""
    made = [step for step in sink.steps if step.cell_bytes]
    values = (
        Value(i, step.label, step.rows, step.width, step.cell_bytes, 1.0, 0)
        for i, step in enumerate(made, len(program.values))
    )
    return replace(program, values=(*program.values, *values))


def build_nodes(program: Program, sink: Sink | None) -> tuple[Node, ...]:
    """The input, the layers in order, and each step of the detector behind the last that it reads.

    Args:
        program: with the values of the detector's steps (see `with_sink`).
        sink: the detector, or None.
    """
    first = program.values[0]
    own = [Node(0, "input", None, None, (), 0, first.rows, ())]
    for i, layer in enumerate(program.layers):
        rows = program.values[layer.output].rows
        own.append(
            Node(0, layer.label, i, None, layer.inputs, layer.output, rows, layer.row_windows)
        )
    return _numbered(own, set(), _sink_nodes(program, sink))


def sink_nodes(program: Program, sink: Sink) -> tuple[Node, ...]:
    """The steps of the detector alone, node 0 doing nothing: all rows of the taps are there."""
    nothing = Node(0, "taps", None, None, (), None, 0, ())
    return _numbered([nothing], set(program.outputs), _sink_nodes(program, sink))


def _numbered(own: Sequence[Node], there: set[int], waiting: list[Node]) -> tuple[Node, ...]:
    """Own nodes, and each of those waiting as soon as what it reads is made; numbered in order."""
    nodes: list[Node] = []
    for node in own:
        ready: Node | None = node
        while ready is not None:
            nodes.append(replace(ready, index=len(nodes)))
            there |= set() if ready.output is None else {ready.output}
            ready = next((n for n in waiting if there.issuperset(n.inputs)), None)
            if ready is not None:
                waiting.remove(ready)
    assert not waiting, "steps that read what nobody makes"
    return tuple(nodes)


def _sink_nodes(program: Program, sink: Sink | None) -> list[Node]:
    """The detector's steps with the values that they read and make."""
    if sink is None:
        return []
    nodes: list[Node] = []
    sources: list[int | None] = [*program.outputs]
    made = len(program.values) - sum(step.cell_bytes > 0 for step in sink.steps)
    for step in sink.steps:
        read = tuple(v for i in step.inputs if (v := sources[i]) is not None)
        assert len(read) == len(step.inputs), (step.label, "reads a step that makes nothing")
        output = made if step.cell_bytes else None
        nodes.append(Node(0, step.label, None, step, read, output, step.rows, step.windows))
        sources.append(output)
        made += step.cell_bytes > 0
    return nodes
