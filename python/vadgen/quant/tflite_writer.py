"""Writes a `Graph` as a `.tflite` that TFLite, TFLite Micro and `tflite_reader` read alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vadgen.model import (
    ActivationOptions,
    ConcatOptions,
    ConvOptions,
    GatherOptions,
    Graph,
    MeanOptions,
    Op,
    Options,
    PoolOptions,
    SoftmaxOptions,
    Tensor,
)
from vadgen.quant.check import check_graph
from vadgen.quant.schema import IDENTIFIER, INT8_VERSIONS, load_schema

_SCHEMA_VERSION = 3
_BUFFER_ALIGNMENT = 16  # `force_align: 16` of Buffer.data in schema.fbs; Python ignores it.


def write_tflite(graph: Graph, description: str = "vadgen") -> bytes:
    """Serialize a graph; tensor indices and names stay, the same graph gives the same bytes.

    Raises:
        VadgenError: the graph contradicts itself.

    Source: TensorFlow, `tensorflow/compiler/mlir/lite/schema/schema.fbs`.
    """
    import flatbuffers

    check_graph(graph, description)
    schema = load_schema()
    kinds = sorted({op.kind for op in graph.ops})
    constants = [tensor.data for tensor in graph.tensors if tensor.data is not None]
    subgraph = schema.SubGraphT(
        tensors=_tensors(graph.tensors),
        inputs=list(graph.inputs),
        outputs=list(graph.outputs),
        operators=[_operator(op, kinds, graph) for op in graph.ops],
        name="main",
    )
    model = schema.ModelT(
        version=_SCHEMA_VERSION,
        operatorCodes=[_operator_code(kind) for kind in kinds],
        subgraphs=[subgraph],
        description=description,
        buffers=[_Buffer(b""), *(_Buffer(_little_endian(data)) for data in constants)],
    )
    size = sum(data.nbytes for data in constants)
    builder = flatbuffers.Builder(size + 65536)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


@dataclass(frozen=True)
class _Buffer:
    """Stands in for the schema's BufferT, whose `Pack` does not align the data."""

    data: bytes

    def Pack(self, builder: Any) -> int:  # noqa: N802, D102 (the schema's spelling)
        schema = load_schema()
        vector = None
        if self.data:
            builder.StartVector(1, len(self.data), _BUFFER_ALIGNMENT)
            builder.head -= len(self.data)
            builder.Bytes[builder.head : builder.head + len(self.data)] = self.data
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))


def _little_endian(data: np.ndarray[Any, Any]) -> bytes:
    return data.astype(data.dtype.newbyteorder("<")).tobytes()


def _tensors(tensors: tuple[Tensor, ...]) -> list[Any]:
    schema = load_schema()
    records = []
    next_buffer = 1
    for tensor in tensors:
        quantization = None
        if tensor.scales.size:
            quantization = schema.QuantizationParametersT(
                scale=np.asarray(tensor.scales, np.float32),
                zeroPoint=np.full(tensor.scales.size, tensor.zero_point, np.int64),
                quantizedDimension=tensor.axis,
            )
        records.append(
            schema.TensorT(
                shape=list(tensor.shape),
                type=getattr(schema.TensorType, tensor.dtype.upper()),
                buffer=next_buffer if tensor.data is not None else 0,
                name=tensor.name,
                quantization=quantization,
                hasRank=True,
            )
        )
        next_buffer += tensor.data is not None
    return records


def _operator_code(kind: str) -> Any:
    schema = load_schema()
    code = getattr(schema.BuiltinOperator, kind)
    return schema.OperatorCodeT(
        deprecatedBuiltinCode=code, builtinCode=code, version=INT8_VERSIONS[kind]
    )


def _operator(op: Op, kinds: list[str], graph: Graph) -> Any:
    schema = load_schema()
    table_name, options = _options(op.kind, op.options, graph.tensors[op.outputs[0]].shape)
    return schema.OperatorT(
        opcodeIndex=kinds.index(op.kind),
        inputs=list(op.inputs),
        outputs=list(op.outputs),
        builtinOptionsType=getattr(schema.BuiltinOptions, table_name),
        builtinOptions=options,
    )


def _options(kind: str, options: Options, output_shape: tuple[int, ...]) -> tuple[str, Any]:
    """The schema's name of the options table and the table, None for the empty one."""
    schema = load_schema()

    def activation(name: str) -> int:
        return int(getattr(schema.ActivationFunctionType, name))

    match options:
        case ConvOptions():
            fields = {
                "padding": getattr(schema.Padding, options.padding),
                "strideH": options.stride_h,
                "strideW": options.stride_w,
                "fusedActivationFunction": activation(options.activation),
                "dilationHFactor": options.dilation_h,
                "dilationWFactor": options.dilation_w,
            }
            if kind == "CONV_2D":
                return "Conv2DOptions", schema.Conv2DOptionsT(**fields)
            fields["depthMultiplier"] = options.depth_multiplier
            return "DepthwiseConv2DOptions", schema.DepthwiseConv2DOptionsT(**fields)
        case PoolOptions():
            return "Pool2DOptions", schema.Pool2DOptionsT(
                padding=getattr(schema.Padding, options.padding),
                strideH=options.stride_h,
                strideW=options.stride_w,
                filterHeight=options.filter_h,
                filterWidth=options.filter_w,
                fusedActivationFunction=activation(options.activation),
            )
        case ActivationOptions() if kind in ("ADD", "MUL"):
            table = "AddOptions" if kind == "ADD" else "MulOptions"
            return table, getattr(schema, f"{table}T")(
                fusedActivationFunction=activation(options.activation)
            )
        case ActivationOptions():
            return "FullyConnectedOptions", schema.FullyConnectedOptionsT(
                fusedActivationFunction=activation(options.activation),
                keepNumDims=options.keep_num_dims,
            )
        case ConcatOptions():
            return "ConcatenationOptions", schema.ConcatenationOptionsT(
                axis=options.axis, fusedActivationFunction=activation(options.activation)
            )
        case GatherOptions():
            return "GatherOptions", schema.GatherOptionsT(
                axis=options.axis, batchDims=options.batch_dims
            )
        case SoftmaxOptions():
            return "SoftmaxOptions", schema.SoftmaxOptionsT(beta=options.beta)
        case MeanOptions():
            return "ReducerOptions", schema.ReducerOptionsT(keepDims=options.keep_dims)
    match kind:
        case "RESHAPE":
            return "ReshapeOptions", schema.ReshapeOptionsT(newShape=list(output_shape))
        case "PAD":
            return "PadOptions", schema.PadOptionsT()
        case "QUANTIZE":
            return "QuantizeOptions", schema.QuantizeOptionsT()
        case "MAXIMUM":
            return "MaximumMinimumOptions", schema.MaximumMinimumOptionsT()
        case "HARD_SWISH":
            return "HardSwishOptions", schema.HardSwishOptionsT()
    return "NONE", None
