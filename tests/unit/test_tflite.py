"""The .tflite reader and writer: exact round trips, clear refusals, TFLM runs what is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import GraphBuilder
from hypothesis import given, settings
from hypothesis import strategies as st
from verbs import fails

from vadgen.errors import Exit, VadgenError
from vadgen.model import (
    ActivationOptions,
    ConcatOptions,
    ConvOptions,
    Graph,
    MeanOptions,
    NoOptions,
    Op,
    PoolOptions,
    SoftmaxOptions,
    Tensor,
)
from vadgen.quant import schema
from vadgen.quant.oracle import run_tflm
from vadgen.quant.tflite_reader import read_tflite
from vadgen.quant.tflite_writer import write_tflite


def activation(name: str, *shape: int, scale: float = 0.05, zero_point: int = -3) -> Tensor:
    return Tensor(name, shape, "int8", np.array([scale], np.float32), zero_point)


def weights(name: str, rng: np.random.Generator, *shape: int, axis: int) -> Tensor:
    scales = rng.uniform(0.001, 0.02, shape[axis]).astype(np.float32)
    data = rng.integers(-127, 128, shape, dtype=np.int8)
    return Tensor(name, shape, "int8", scales, 0, axis, data)


def integers(name: str, values: Any, scales: Any = ()) -> Tensor:
    data = np.array(values, np.int32)
    return Tensor(name, data.shape, "int32", np.array(scales, np.float32), 0, 0, data)


def every_operator() -> Graph:
    """One graph of all supported operators; two outputs, one of them inside."""
    rng = np.random.default_rng(7)
    tensors = (
        activation("image", 1, 9, 8, 3),
        weights("conv/w", rng, 8, 3, 3, 3, axis=0),
        integers("conv/b", rng.integers(-999, 999, 8), np.full(8, 0.0001)),
        activation("conv", 1, 5, 4, 8),
        integers("pad/n", [[0, 0], [1, 1], [0, 2], [0, 0]]),
        activation("pad", 1, 7, 6, 8),
        weights("dw/w", rng, 1, 3, 3, 8, axis=3),
        integers("dw/b", rng.integers(-999, 999, 8), np.full(8, 0.0001)),
        activation("dw", 1, 5, 4, 8, scale=0.0235, zero_point=-128),
        activation("add", 1, 5, 4, 8, scale=0.06, zero_point=5),
        activation("avg", 1, 2, 2, 8, scale=0.06, zero_point=5),
        activation("max", 1, 2, 2, 8, scale=0.06, zero_point=5),
        activation("cat", 1, 2, 2, 16, scale=0.06, zero_point=5),
        activation("relu", 1, 2, 2, 16, scale=0.03, zero_point=-128),
        activation("relu6", 1, 2, 2, 16, scale=6 / 255, zero_point=-128),
        activation("quantize", 1, 2, 2, 16, scale=0.04, zero_point=0),
        integers("mean/axes", [1, 2]),
        activation("mean", 1, 16, scale=0.04, zero_point=0),
        activation("reshape", 1, 1, 1, 16, scale=0.04, zero_point=0),
        weights("fc/w", rng, 5, 16, axis=0),
        activation("fc", 1, 5, scale=0.1, zero_point=1),
        activation("softmax", 1, 5, scale=1 / 256, zero_point=-128),
    )
    at = {tensor.name: i for i, tensor in enumerate(tensors)}
    pool = PoolOptions(2, 2, 2, 2)

    def op(kind: str, options: Any, inputs: str, output: str) -> Op:
        indices = tuple(-1 if name == "-" else at[name] for name in inputs.split())
        return Op(kind, indices, (at[output],), options)

    ops = (
        op("CONV_2D", ConvOptions(2, 2, activation="RELU6"), "image conv/w conv/b", "conv"),
        op("PAD", NoOptions(), "conv pad/n", "pad"),
        op(
            "DEPTHWISE_CONV_2D",
            ConvOptions(padding="VALID", activation="RELU", depth_multiplier=1),
            "pad dw/w dw/b",
            "dw",
        ),
        op("ADD", ActivationOptions(), "conv dw", "add"),
        op("AVERAGE_POOL_2D", pool, "add", "avg"),
        op("MAX_POOL_2D", pool, "add", "max"),
        op("CONCATENATION", ConcatOptions(-1), "avg max", "cat"),
        op("RELU", NoOptions(), "cat", "relu"),
        op("RELU6", NoOptions(), "relu", "relu6"),
        op("QUANTIZE", NoOptions(), "relu6", "quantize"),
        op("MEAN", MeanOptions(), "quantize mean/axes", "mean"),
        op("RESHAPE", NoOptions(), "mean", "reshape"),
        op("FULLY_CONNECTED", ActivationOptions("RELU_N1_TO_1"), "reshape fc/w -", "fc"),
        op("SOFTMAX", SoftmaxOptions(0.5), "fc", "softmax"),
    )
    return Graph(tensors, ops, (0,), (at["add"], at["softmax"]))


GRAPH = every_operator()
TFLITE = write_tflite(GRAPH)


def assert_same(one: Graph, other: Graph) -> None:
    assert one.ops == other.ops
    assert (one.inputs, one.outputs) == (other.inputs, other.outputs)
    for a, b in zip(one.tensors, other.tensors, strict=True):
        assert (a.name, a.shape, a.dtype, a.zero_point, a.axis) == (
            b.name,
            b.shape,
            b.dtype,
            b.zero_point,
            b.axis,
        )
        np.testing.assert_array_equal(a.scales, b.scales)
        assert (a.data is None) == (b.data is None)
        if a.data is not None and b.data is not None:
            np.testing.assert_array_equal(a.data, b.data)


def edited(change: Any) -> bytes:
    """The test graph's file after `change(subgraph, model)` on the flatbuffers objects."""
    import flatbuffers

    module = schema.load_schema()
    model = module.ModelT.InitFromObj(module.Model.GetRootAs(TFLITE, 0))
    change(model.subgraphs[0], model)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), schema.IDENTIFIER)
    return bytes(builder.Output())


def test_round_trip_is_exact_and_bytes_repeat() -> None:
    graph = read_tflite(TFLITE)
    assert_same(graph, GRAPH)
    assert write_tflite(graph) == TFLITE


def test_operators_of_attention_and_groups_round_trip() -> None:
    b = GraphBuilder(4, (1, 6, 5, 8))
    x = b.squeeze_excite(b.conv(b.input, 8, (3, 3), groups=4), 3)
    graph = b.graph(b.maximum(x, b.gather(x, [7, 6, 5, 4, 3, 2, 1, 0])))
    kinds = {op.kind for op in graph.ops}
    assert {"MUL", "MAXIMUM", "GATHER", "HARD_SWISH", "LOGISTIC"} <= kinds
    assert kinds | {op.kind for op in GRAPH.ops} == set(schema.INT8_VERSIONS)
    assert_same(read_tflite(write_tflite(graph)), graph)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda b: b.mul(b.input, b.conv(b.input, 8, (3, 3), (2, 2))), "MUL: multiplies shapes"),
        (
            lambda b: b.maximum(b.input, b.conv(b.input, 8)),
            "inputs are quantized differently",
        ),
        (lambda b: b.gather(b.input, [8]), "GATHER: index out of range"),
        (lambda b: b.conv(b.input, 7, groups=2), "CONV_2D: weights .* for 8 channels"),
    ],
)
def test_refuses_operators_that_contradict_themselves(
    make: Callable[[GraphBuilder], int], message: str
) -> None:
    b = GraphBuilder(5, (1, 6, 5, 8))
    with pytest.raises(VadgenError, match=message):
        write_tflite(b.graph(make(b)))


def test_constants_are_aligned_to_16_bytes() -> None:
    for tensor in GRAPH.tensors:
        if tensor.data is not None and tensor.data.nbytes > 16:
            assert TFLITE.index(tensor.data.tobytes()) % 16 == 0


def test_tflm_runs_every_operator_and_gives_inner_outputs() -> None:
    images = np.random.default_rng(1).integers(-128, 128, (3, 9, 8, 3), dtype=np.int8)
    outputs = run_tflm(TFLITE, images)
    assert len(outputs) == 3
    assert [o.shape for o in outputs[0]] == [(1, 5, 4, 8), (1, 5)]
    assert all(o.dtype == np.int8 for o in outputs[0])
    assert len({o[0].tobytes() for o in outputs}) == 3
    again = run_tflm(TFLITE, images[::-1])
    np.testing.assert_array_equal(again[0][0], outputs[2][0])


def test_tflm_relu_by_hand() -> None:
    tensors = (activation("x", 1, 4, zero_point=2), activation("y", 1, 4, zero_point=2))
    model = write_tflite(Graph(tensors, (Op("RELU", (0,), (1,), NoOptions()),), (0,), (1,)))
    outputs = run_tflm(model, np.array([[-128, 1, 2, 127]], np.int8))
    np.testing.assert_array_equal(outputs[0][0], [[2, 2, 2, 127]])


def test_oracle_refuses_images_of_another_size() -> None:
    with pytest.raises(VadgenError, match=r"model wants int8 \(9, 8, 3\)"):
        run_tflm(TFLITE, np.zeros((1, 8, 8, 3), np.int8))


def test_missing_package_is_a_missing_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> Any:
        raise ImportError(f"No module named {name}")

    monkeypatch.setattr(schema, "import_module", refuse)
    schema.load_runtime.cache_clear()
    with pytest.raises(VadgenError, match="tflite-micro") as caught:
        schema.load_runtime()
    assert caught.value.code == Exit.TOOL_MISSING
    assert "pip install" in caught.value.hint


@pytest.mark.parametrize("keep", [0, 7, 8, 64, 1000, len(TFLITE) // 2, len(TFLITE) - 1])
def test_cut_off(keep: int) -> None:
    with pytest.raises(VadgenError, match="cut off|not a .tflite"):
        read_tflite(TFLITE[:keep])


def test_not_a_flatbuffer() -> None:
    with pytest.raises(VadgenError, match="photo.png is not a .tflite file"):
        read_tflite(b"\x89PNG\r\n\x1a\n" + bytes(1000), "photo.png")


def set_type(index: int, kind: str) -> Any:
    def change(subgraph: Any, model: Any) -> None:
        subgraph.tensors[index].type = getattr(schema.load_schema().TensorType, kind)

    return change


def set_opcode(kind: str, custom: str | None = None) -> Any:
    def change(subgraph: Any, model: Any) -> None:
        code = model.operatorCodes[subgraph.operators[5].opcodeIndex]
        code.builtinCode = getattr(schema.load_schema().BuiltinOperator, kind)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.customCode = custom

    return change


def set_field(path: str, value: Any) -> Any:
    def change(subgraph: Any, model: Any) -> None:
        target = {"subgraph": subgraph, "model": model}
        exec(f"{path} = value", target | {"value": value})

    return change


def add_subgraph(subgraph: Any, model: Any) -> None:
    model.subgraphs.append(subgraph)


def add_sparsity(subgraph: Any, model: Any) -> None:
    subgraph.tensors[1].sparsity = schema.load_schema().SparsityParametersT()


def add_compression(subgraph: Any, model: Any) -> None:
    model.metadata = [schema.load_schema().MetadataT(name="COMPRESSION_METADATA")]


def per_channel_activation(subgraph: Any, model: Any) -> None:
    subgraph.tensors[3].quantization = subgraph.tensors[1].quantization


CONV, DEPTHWISE = "subgraph.operators[0]", "subgraph.operators[2]"
REFUSALS = {
    "float model": (set_type(0, "FLOAT32"), r"float model \(tensor 0 'image' is FLOAT32\)"),
    "uint8": (set_type(0, "UINT8"), "tensor of type UINT8"),
    "int4": (set_type(1, "INT4"), "INT4 weights"),
    "unknown operator": (set_opcode("ELU"), r"ELU \(operator 5\)"),
    "custom operator": (set_opcode("CUSTOM", "Mine"), r"CUSTOM Mine \(operator 5\)"),
    "several subgraphs": (add_subgraph, "2 subgraphs"),
    "batch": (set_field("subgraph.tensors[0].shape", [4, 9, 8, 3]), "batch of 4"),
    "no size": (set_field("subgraph.tensors[0].shape", [1, 0, 8, 3]), "dynamic shape"),
    "signature": (
        set_field("subgraph.tensors[0].shapeSignature", [1, -1, -1, 3]),
        "dynamic shape",
    ),
    "sparse": (add_sparsity, "sparse weights"),
    "compressed": (add_compression, "compressed weights"),
    "per channel": (per_channel_activation, "activation quantized per channel"),
    "dilation": (
        set_field(f"{CONV}.builtinOptions.dilationHFactor", 2),
        r"\(operator 0 CONV_2D\): dilation 2x1",
    ),
    "dilation of a depthwise convolution": (
        set_field(f"{DEPTHWISE}.builtinOptions.dilationWFactor", 3),
        r"DEPTHWISE_CONV_2D\): dilation 1x3",
    ),
    "tanh": (
        set_field(f"{CONV}.builtinOptions.fusedActivationFunction", 4),
        "fused activation TANH",
    ),
    "stride 0": (set_field(f"{CONV}.builtinOptions.strideH", 0), "operator 0 CONV_2D: window"),
    "options": (set_field(f"{CONV}.builtinOptionsType", 0), "no Conv2DOptions"),
    "output shape": (
        set_field("subgraph.tensors[3].shape", [1, 5, 5, 8]),
        r"CONV_2D: output shape \(1, 5, 5, 8\), expected \(1, 5, 4, 8\)",
    ),
    "order": (set_field(f"{CONV}.inputs", [9, 1, 2]), "before it is written"),
    "tensor index": (set_field(f"{CONV}.inputs", [0, 1, 99]), "no tensor 99"),
    "never written": (set_field("subgraph.operators", []), "never written"),
    "zero scale": (
        set_field("subgraph.tensors[0].quantization.scale", [0.0]),
        "one positive scale",
    ),
    "constant of another size": (set_field("subgraph.tensors[1].shape", [8, 3, 3, 4]), "damaged"),
    "int32 output": (set_type(3, "INT32"), "is int32, not int8"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refuses(case: str) -> None:
    change, message = REFUSALS[case]
    with pytest.raises(VadgenError, match=message) as caught:
        read_tflite(edited(change))
    assert caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("case", ["float model", "custom operator", "dilation"])
def test_compile_refuses_in_two_lines(case: str, tmp_path: Path, capfd: Any) -> None:
    change, message = REFUSALS[case]
    path, out = tmp_path / "model.tflite", tmp_path / "out"
    path.write_bytes(edited(change))
    told = fails(capfd, Exit.INPUT, "compile", path, "--board", "host", "--out", out)
    assert re.search(message, told) and "model.tflite" in told
    assert not out.exists()


def test_operators_of_a_dynamic_batch_ask_for_a_fixed_shape() -> None:
    with pytest.raises(VadgenError, match="unknown operator: SHAPE") as caught:
        read_tflite(edited(set_opcode("SHAPE")))
    assert "fixed input shape" in caught.value.hint


def test_a_batch_that_the_file_sets_to_one_is_not_dynamic() -> None:
    data = edited(set_field("subgraph.tensors[0].shapeSignature", [-1, 9, 8, 3]))
    assert_same(read_tflite(data), GRAPH)


def test_writer_refuses_a_graph_that_contradicts_itself() -> None:
    tensors = list(GRAPH.tensors)
    tensors[3] = replace(tensors[3], shape=(1, 5, 5, 8))
    with pytest.raises(VadgenError, match="output shape"):
        write_tflite(replace(GRAPH, tensors=tuple(tensors)))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, len(TFLITE) - 1), st.binary(min_size=1, max_size=4)),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, len(TFLITE)) | st.just(len(TFLITE)),
)
def test_damage_gives_a_graph_or_a_clear_error(
    patches: list[tuple[int, bytes]], length: int
) -> None:
    data = bytearray(TFLITE)
    for position, patch in patches:
        data[position : position + len(patch)] = patch
    try:
        graph = read_tflite(bytes(data[:length]))
    except VadgenError as error:
        assert error.hint
    else:
        assert_same(read_tflite(write_tflite(graph)), graph)
