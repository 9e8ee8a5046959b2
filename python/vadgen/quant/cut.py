"""Parts of a graph, and the first operator of it that gives other bytes somewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vadgen.model import Graph


def cut(graph: Graph, last: int) -> Graph:
    """The operators that one operator's output depends on, and that output alone.

    Args:
        graph: any.
        last: position of that operator.
    """
    wanted = set(graph.ops[last].outputs)
    ops = []
    for op in reversed(graph.ops[: last + 1]):
        if wanted.intersection(op.outputs):
            ops.append(op)
            wanted.update(i for i in op.inputs if i >= 0)
    used = sorted(wanted.union(graph.inputs))
    number = {-1: -1} | {old: new for new, old in enumerate(used)}
    return Graph(
        tuple(graph.tensors[i] for i in used),
        tuple(
            replace(
                op,
                inputs=tuple(number[i] for i in op.inputs),
                outputs=tuple(number[i] for i in op.outputs),
            )
            for op in reversed(ops)
        ),
        tuple(number[i] for i in graph.inputs),
        (number[graph.ops[last].outputs[0]],),
    )


def first_difference(graph: Graph, differs: Callable[[Graph], bool]) -> int | None:
    """Position of an operator that gives other bytes though all that it reads is the same.

    Halves the operators up to the first output of the graph that differs, then steps back through
    those that differ already.

    Args:
        graph: any.
        differs: whether the one output of a part of the graph differs (see `cut`).

    Returns:
        None when no output differs once it is computed alone.
    """
    known: dict[int, bool] = {}

    def fails(op: int) -> bool:
        if op not in known:
            known[op] = differs(cut(graph, op))
        return known[op]

    maker = {tensor: i for i, op in enumerate(graph.ops) for tensor in op.outputs}
    ends = sorted(maker[tensor] for tensor in graph.outputs if tensor in maker)
    high = next((op for op in ends if fails(op)), None)
    if high is None:
        return None
    low = -1
    while high - low > 1:
        middle = (low + high) // 2
        if fails(middle):
            high = middle
        else:
            low = middle
    while True:
        before = [maker[i] for i in graph.ops[high].inputs if i in maker]
        earlier = next((op for op in before if fails(op)), None)
        if earlier is None:
            return high
        high = earlier
