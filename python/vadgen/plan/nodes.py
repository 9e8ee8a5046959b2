"""The program as nodes that each make (or take) one row at a time."""

from __future__ import annotations

from dataclasses import dataclass

from vadgen.lower import Program, RowWindow


@dataclass(frozen=True)
class Node:
    """One step of the schedule.

    Attributes:
        index: place in program order; names the step function.
        label: for people.
        layer: index into the program's layers; None for the input and for sinks.
        tap: index into the program's outputs for a detector's sink, else None.
        inputs: value indices read.
        output: value index made, None for a sink.
        rows: rows it makes or takes.
        windows: by input, the rows that one of its rows reads.
    """

    index: int
    label: str
    layer: int | None
    tap: int | None
    inputs: tuple[int, ...]
    output: int | None
    rows: int
    windows: tuple[RowWindow, ...]


def build_nodes(program: Program, sinks: bool) -> tuple[Node, ...]:
    """The input, the layers in order, and behind each tap's layer its sink when `sinks`."""
    nodes: list[Node] = []

    def append_sinks(value: int) -> None:
        for tap, output in enumerate(program.outputs):
            if sinks and output == value:
                label, rows = f"detector, tap {tap}", program.values[value].rows
                index = len(nodes)
                nodes.append(Node(index, label, None, tap, (value,), None, rows, (RowWindow(),)))

    nodes.append(Node(0, "input", None, None, (), 0, program.values[0].rows, ()))
    append_sinks(0)
    for i, layer in enumerate(program.layers):
        rows = program.values[layer.output].rows
        index = len(nodes)
        nodes.append(
            Node(index, layer.label, i, None, layer.inputs, layer.output, rows, layer.row_windows)
        )
        append_sinks(layer.output)
    return tuple(nodes)
