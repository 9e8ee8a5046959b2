"""The plan as a table: how each operator runs and what its output takes."""

from __future__ import annotations

from typing import Any

from vadgen.plan.planner import Plan

_COLUMNS = ("operator", "output", "kernel", "layout", "segment", "rows kept", "bytes")


def explain_plan(plan: Plan) -> dict[str, Any]:
    """Columns and rows, one a step; the layout and what follows it are the output's."""
    segment_of = {
        i: s for s, seg in enumerate(plan.segments) for i in range(seg.first, seg.last + 1)
    }
    rows: list[list[str | int]] = []
    for node in plan.nodes:
        if node.output is None:
            rows.append([node.label, "", "detector", "", segment_of[node.index], "", ""])
            continue
        value, ring = plan.program.values[node.output], plan.rings[node.output]
        rows.append(
            [
                node.label,
                f"{value.rows}x{value.width}x{value.channels}",
                "" if node.layer is None else plan.calls[node.layer].function,
                "pixels" if ring.planes is None else "planes",
                segment_of[node.index],
                f"{ring.ring} of {ring.rows}",
                ring.ring * ring.pitch,
            ]
        )
    return {"columns": list(_COLUMNS), "rows": rows}
