"""The plan as a table: how each operator runs and what its output takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vadgen.plan.nodes import Node
from vadgen.plan.planner import Plan, scratch_by_node

_COLUMNS = (
    *("step", "operator", "output", "segment", "runs", "kernel", "layout", "constants"),
    *("rows kept", "rows", "bytes", "scratch", "instructions"),
)


def explain_plan(plan: Plan, instructions: Mapping[int, int] | None = None) -> dict[str, Any]:
    """Columns and rows, one a step; layout, rows and bytes are the output's.

    Args:
        plan: the plan.
        instructions: of one inference by step, as far as they were counted.
    """
    counted = instructions or {}
    scratch = scratch_by_node(plan.nodes, plan.calls)
    rows = [
        [
            node.index,
            node.label,
            *_output(plan, node),
            number,
            "streamed" if segment.last > segment.first else "whole",
            *_kernel(plan, node),
            *_ring(plan, node),
            scratch[node.index],
            counted.get(node.index),
        ]
        for number, segment in enumerate(plan.segments, 1)
        for node in plan.nodes[segment.first : segment.last + 1]
    ]
    return {"columns": list(_COLUMNS), "rows": rows}


def _output(plan: Plan, node: Node) -> list[str]:
    if node.output is None:
        return [""]
    value = plan.program.values[node.output]
    return [f"{value.rows}x{value.width}x{value.channels}"]


def _kernel(plan: Plan, node: Node) -> list[str]:
    """Its function, the layout of the rows that it writes, the layout of its constants."""
    layout = ""
    if node.output is not None:
        layout = "pixels" if plan.rings[node.output].planes is None else "planes"
    if node.layer is None:
        return ["", layout, ""]
    call = plan.calls[node.layer]
    return [call.function, layout, "compact" if call.is_compact else "fast"]


def _ring(plan: Plan, node: Node) -> list[int | None]:
    """Rows that are kept, all rows, bytes of those kept."""
    if node.output is None:
        return [None, None, None]
    ring = plan.rings[node.output]
    return [ring.ring, ring.rows, ring.ring * ring.pitch]
