"""Writes vad_model.h, vad_model.c, vad_weights.h and vad_identity.h."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadgen import __version__
from vadgen.emit.environment import c_int, environment
from vadgen.emit.link import UNKNOWN, Identity, write_identity
from vadgen.emit.network import registered
from vadgen.kernels.base import Array
from vadgen.lower import Copy, Program, RowWindow
from vadgen.plan.nodes import Node
from vadgen.plan.planner import Plan
from vadgen.plan.schedule import compress

ABI = 1


@dataclass(frozen=True, eq=False)
class DetectorCode:
    """What the model's templates need of a detector.

    Attributes:
        name: stem of `templates/detectors/<name>.c.j2` (macros) and `<name>.h.j2` (tables).
        tables: the frozen integer tables, as the detector's templates know them.
        cell_rows, cell_cols: shape of its scores.
        threshold: of the image score.
        threshold_note: alpha, n and method, for the header's comment.
        score_note: scale of score and threshold, for the header's comment.
    """

    name: str
    tables: Any
    cell_rows: int
    cell_cols: int
    threshold: int
    threshold_note: str
    score_note: str


@dataclass(frozen=True, eq=False)
class Interpreted:
    """A network that TensorFlow Lite Micro runs in front of a detector's steps.

    Attributes:
        program: its input and outputs.
        tflite: the model.
        operators: TFLite's names of the operators it uses, each once.
        arena_bytes: of the arena for the interpreter and its tensors, a multiple of 16.
    """

    program: Program
    tflite: bytes
    operators: tuple[str, ...]
    arena_bytes: int


@dataclass(frozen=True)
class _NamedArray:
    name: str
    c_type: str
    data: NDArray[Any]


@dataclass(frozen=True)
class _Slot:
    value: str
    base: str
    first_row: str
    count: int
    target: str


@dataclass(frozen=True)
class _Op:
    id: str
    node: int
    label: str
    shape: str
    struct: str
    function: str
    fields: tuple[tuple[str, str], ...]
    arrays: tuple[_NamedArray, ...]
    slots: tuple[_Slot, ...]
    n_rows: int
    cut_bytes: int
    output: str
    row_bytes: int
    scratch: str
    observed: tuple[int, ...]


@dataclass(frozen=True)
class _SinkStep:
    id: str
    node: int
    label: str
    argument: int
    slots: tuple[_Slot, ...]
    n_rows: int
    output: str | None
    scratch: str


@dataclass(frozen=True)
class _Output:
    offset: int
    rows: int
    row_bytes: int


def write_model(
    out: Path,
    plan: Plan,
    source: str,
    input_table: NDArray[np.int8] | None = None,
    detector: DetectorCode | None = None,
    prefix: str = "vad_model",
    identity: Identity = UNKNOWN,
    sections: Mapping[str, str] | None = None,
    network: Interpreted | None = None,
) -> tuple[Path, ...]:
    """Writes the generated C of a plan into `out`; returns the files.

    Args:
        out: an existing folder.
        plan: segments, buffers and kernel calls.
        source: what the code is made from, for the first comment (no paths, no clock).
        input_table: int8 (3, 256), camera byte to input tensor; None when rows are int8 already.
        detector: its tables and macros, or None for the network alone.
        prefix: of names and files; `vad_model` unless one program holds several models.
        identity: what the firmware says of itself.
        sections: of the linker script, for the buffers "arena" and "detector"; "" or none leaves
            one where variables lie.
        network: for another runtime's network, whose outputs `plan` (of `plan_sink`) starts from.
    """
    env = environment()
    weights = (
        prefix.replace("vad_model", "vad_weights", 1)
        if prefix == "vad_model"
        else (f"{prefix}_weights")
    )
    ops = [_op(plan, node, weights) for node in plan.nodes if node.layer is not None]
    sinks = [_sink_step(plan, node) for node in plan.nodes if node.step is not None]
    order = [i for segment in plan.segments for i in segment.order]
    wide = len(plan.nodes) > 255
    schedule = _schedule(order, np.uint16 if wide else np.uint8)
    first = (network or plan).program.values[0]
    outputs = _outputs(plan)
    used = {v for node in plan.nodes for v in (*node.inputs, node.output)}
    context: dict[str, Any] = {
        "version": __version__,
        "source": source,
        "abi": ABI,
        "prefix": prefix,
        "macro": prefix.upper(),
        "weights": weights,
        "weights_macro": weights.upper(),
        "plan": plan,
        "places": {name: _place((sections or {}).get(name, "")) for name in ("arena", "detector")},
        "input": first,
        "input_table": input_table,
        "input_observed": [i for i, v in enumerate(plan.program.outputs) if v == 0 and not network],
        "row_format": "RGB888" if input_table is not None else "int8, as the input tensor",
        "outputs": outputs,
        "output_bytes": sum(o.rows * o.row_bytes for o in outputs),
        "network": network,
        "rings": [(v, ring) for v, ring in sorted(plan.rings.items()) if v in used],
        "ops": ops,
        "sinks": sinks,
        "headers": sorted({call.header for call in plan.calls}),
        "step_type": "uint16_t" if wide else "uint8_t",
        "step_names": [f"{prefix}_step_{_id(n.index)}" for n in plan.nodes],
        "schedule": schedule,
        "cell_rows": detector.cell_rows if detector else 0,
        "cell_cols": detector.cell_cols if detector else 0,
    }
    files = [(f"{prefix}.h", "vad_model.h.j2"), (f"{prefix}.c", "vad_model.c.j2")]
    files.append((f"{weights}.h", "vad_weights.h.j2"))
    if network is not None:
        context["registered"] = registered(network.operators)
        context["tflite"] = np.frombuffer(network.tflite, np.uint8)
        files += [
            (f"{prefix}_network.{kind}", f"vad_model_network.{kind}.j2") for kind in ("h", "cc")
        ]
    context["model"] = {**context, "detector": detector}
    context["detector"] = None
    if detector is not None:
        macros = env.get_template(f"detectors/{detector.name}.c.j2")
        context["detector"] = macros.make_module(context)
        files.append((f"vad_{detector.name}_tables.h", f"detectors/{detector.name}.h.j2"))
    written = []
    for name, template in files:
        path = out / name
        text = env.get_template(template).render(context)
        path.write_text(text, encoding="utf-8", newline="\n")
        written.append(path)
    return (*written, write_identity(out, identity))


def _place(section: str) -> str:
    return f'__attribute__((section("{section}")))' if section else ""


def _id(index: int) -> str:
    return f"{index:02d}"


def _outputs(plan: Plan) -> list[_Output]:
    result, offset = [], 0
    for index in plan.program.outputs:
        value = plan.program.values[index]
        result.append(_Output(offset, value.rows, value.row_bytes))
        offset += value.total_bytes
    return result


def _schedule(order: Sequence[int], dtype: type[np.unsignedinteger[Any]]) -> NDArray[Any]:
    flat: list[int] = []
    for repeat, block in compress(order):
        flat += [repeat, len(block), *block]
    return np.array([*flat, 0], dtype=dtype)


def _op(plan: Plan, node: Node, weights: str) -> _Op:
    assert node.layer is not None and node.output is not None
    layer, kernel = plan.program.layers[node.layer], plan.calls[node.layer]
    fields, arrays = [], []
    for name, value in kernel.fields:
        if isinstance(value, Array):
            array_name = f"{weights}_{_id(node.index)}_{name}"
            arrays.append(_NamedArray(array_name, value.c_type, value.data))
            fields.append((name, array_name))
        else:
            fields.append((name, value if isinstance(value, str) else c_int(value)))
    slots, n_rows = _slots(plan, node)
    out = plan.program.values[node.output]
    shapes = " + ".join(_shape(plan, v) for v in node.inputs)
    return _Op(
        _id(node.index),
        node.index,
        layer.label,
        f"{shapes} -> {_shape(plan, node.output)}",
        kernel.struct,
        kernel.function,
        tuple(fields),
        tuple(arrays),
        slots,
        n_rows,
        out.row_bytes if isinstance(layer, Copy) and layer.cuts else 0,
        _id(node.output),
        out.row_bytes,
        _scratch(plan, node),
        tuple(i for i, v in enumerate(plan.program.outputs) if v == node.output),
    )


def _sink_step(plan: Plan, node: Node) -> _SinkStep:
    assert node.step is not None
    slots, n_rows = _slots(plan, node)
    return _SinkStep(
        _id(node.index),
        node.index,
        node.label,
        node.step.argument,
        slots,
        n_rows,
        None if node.output is None else _id(node.output),
        _scratch(plan, node),
    )


def _slots(plan: Plan, node: Node) -> tuple[tuple[_Slot, ...], int]:
    """Where each input's rows lie, where they go in the list of rows, and its length.

    What no node makes is an output of another runtime's network.
    """
    made = {n.output for n in plan.nodes}
    slots: list[_Slot] = []
    n_rows = 0
    for value_index, window in zip(node.inputs, node.windows, strict=True):
        target = f"rows + {n_rows}" if n_rows else "rows"
        base = "m->arena"
        if value_index not in made:
            base = f"m->outputs[{plan.program.outputs.index(value_index)}]"
        slots.append(_Slot(_id(value_index), base, _first_row(window), window.count, target))
        n_rows += window.count
    return tuple(slots), n_rows


def _scratch(plan: Plan, node: Node) -> str:
    if node.step is not None and node.step.scratch_bytes and plan.apart is not None:
        return f"m->memory + {plan.apart}"
    offset = plan.scratch_offsets.get(node.index)
    return "NULL" if offset is None else f"m->arena + {offset}"


def _first_row(window: RowWindow) -> str:
    if window.stride == 0:
        return str(window.first)
    text = "y" if window.stride == 1 else f"y * {window.stride}"
    if window.of > 1:
        text = f"({text} + {window.of - 1}) / {window.of}"
    if window.first:
        text += f" {'-' if window.first < 0 else '+'} {abs(window.first)}"
    return text


def _shape(plan: Plan, value: int) -> str:
    v = plan.program.values[value]
    return f"{v.rows}x{v.width}x{v.channels}"
