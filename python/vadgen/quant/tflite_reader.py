"""Reads an int8 `.tflite` into a frozen `Graph`, and refuses what the compiler cannot keep."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from vadgen.errors import VadgenError
from vadgen.model import (
    Activation,
    ActivationOptions,
    ConcatOptions,
    ConvOptions,
    GatherOptions,
    Graph,
    MeanOptions,
    NoOptions,
    Op,
    Options,
    Padding,
    PoolOptions,
    SoftmaxOptions,
    Tensor,
)
from vadgen.quant.check import check_graph
from vadgen.quant.schema import IDENTIFIER, INT8_VERSIONS, enum_names, load_schema

_QUANTIZE_HINT = (
    "convert it to full int8: optimizations=[DEFAULT], a representative_dataset, "
    "supported_ops=[TFLITE_BUILTINS_INT8], inference_input_type=inference_output_type=tf.int8"
)
_SUPPORTED_HINT = "supported operators: " + ", ".join(sorted(INT8_VERSIONS))
_FIXED_SHAPE_HINT = "convert it with a fixed input shape (1, height, width, channels)"
# What converters leave of a batch that is only known at run time.
_DYNAMIC_KINDS = ("SHAPE", "STRIDED_SLICE", "PACK")
_DAMAGED_HINT = "give a complete .tflite file, as the converter wrote it"
_MAX_RANK = 8
_FLOATS = ("FLOAT32", "FLOAT16", "FLOAT64", "BFLOAT16")
_NARROW = ("INT4", "INT2", "UINT4")


def read_tflite(data: bytes, name: str = "model") -> Graph:
    """Parse a full-int8 `.tflite`; tensor indices stay those of the file.

    Args:
        data: the file's bytes.
        name: what to call the file in an error.

    Raises:
        VadgenError: not a flatbuffer or cut off, a float model, an unknown operator, dynamic
            shapes, a batch other than 1, several subgraphs, dilation, compressed or sparse weights,
            per-channel activations, or shapes that contradict each other.

    Source: TensorFlow, `tensorflow/compiler/mlir/lite/schema/schema.fbs`.
    """
    load_schema()
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        raise VadgenError(f"{name} is not a .tflite file (no TFL3 mark)", _DAMAGED_HINT)
    try:
        graph = _Reader(data, name).graph()
    except VadgenError:
        raise
    except Exception as error:  # Offsets of a damaged flatbuffer may lead anywhere.
        raise VadgenError(
            f"{name} is cut off or damaged ({type(error).__name__})", _DAMAGED_HINT
        ) from error
    check_graph(graph, name)
    return graph


class _Reader:
    """Walks the flatbuffer lazily; every count is checked against the file's length."""

    def __init__(self, data: bytes, name: str) -> None:
        self.size = len(data)
        self.name = name
        self.schema = load_schema()
        self.model = self.schema.Model.GetRootAs(data, 0)

    def graph(self) -> Graph:
        n_subgraphs = self.model.SubgraphsLength()
        if n_subgraphs != 1:
            raise VadgenError(
                f"{self.name} has {n_subgraphs} subgraphs",
                "give a model with one subgraph (no control flow)",
            )
        self._refuse_compression()
        subgraph = self.model.Subgraphs(0)
        n_tensors = self._count(subgraph.TensorsLength())
        tensors = tuple(self._tensor(subgraph.Tensors(i), i) for i in range(n_tensors))
        n_ops = self._count(subgraph.OperatorsLength())
        ops = tuple(self._op(subgraph.Operators(i), i) for i in range(n_ops))
        inputs = _ints(subgraph.InputsAsNumpy())
        for index in inputs:
            if not 0 <= index < n_tensors:
                raise ValueError("input out of range")
            self._refuse_dynamic(subgraph.Tensors(index), tensors[index])
        return Graph(tensors, ops, inputs, _ints(subgraph.OutputsAsNumpy()))

    def _count(self, n: int) -> int:
        if n * 4 > self.size:
            raise ValueError("vector longer than the file")
        return n

    def _refuse_compression(self) -> None:
        for i in range(self._count(self.model.MetadataLength())):
            if self.model.Metadata(i).Name() == b"COMPRESSION_METADATA":
                raise VadgenError(
                    f"{self.name} has compressed weights", "give the model before compression"
                )

    def _refuse_dynamic(self, record: Any, tensor: Tensor) -> None:
        """Refuse unknown sizes, but for a batch that the file itself sets to 1."""
        if record.ShapeSignatureLength() and -1 in _ints(record.ShapeSignatureAsNumpy())[1:]:
            raise VadgenError(
                f"{self.name} has a dynamic shape (input '{tensor.name}')",
                _FIXED_SHAPE_HINT,
            )
        if tensor.shape and tensor.shape[0] != 1:
            raise VadgenError(
                f"{self.name} has a batch of {tensor.shape[0]} (input '{tensor.name}')",
                "convert it with a batch of 1",
            )

    def _tensor(self, record: Any, index: int) -> Tensor:
        raw_name = record.Name()
        name = raw_name.decode("utf-8", "replace") if raw_name else f"tensor_{index}"
        kind = enum_names("TensorType")[record.Type()]
        if kind in _FLOATS:
            raise VadgenError(
                f"{self.name} is a float model (tensor {index} '{name}' is {kind})", _QUANTIZE_HINT
            )
        if kind in _NARROW:
            raise VadgenError(
                f"{self.name} has {kind} weights (tensor {index} '{name}')",
                "quantize the weights to int8",
            )
        if kind not in ("INT8", "INT32"):
            raise VadgenError(
                f"{self.name} has a tensor of type {kind} (tensor {index} '{name}')",
                _QUANTIZE_HINT,
            )
        if record.Sparsity() is not None:
            raise VadgenError(
                f"{self.name} has sparse weights (tensor {index} '{name}')",
                "convert the model without sparsity",
            )
        if record.IsVariable() or record.ExternalBuffer():
            raise VadgenError(
                f"{self.name} has a variable or external tensor (tensor {index} '{name}')",
                "convert it to a stateless model in one file",
            )
        if record.ShapeLength() > _MAX_RANK:
            raise ValueError("rank too high")
        shape = _ints(record.ShapeAsNumpy()) if record.ShapeLength() else ()
        if any(size <= 0 for size in shape):
            raise VadgenError(
                f"{self.name} has a dynamic shape (tensor {index} '{name}')",
                _FIXED_SHAPE_HINT,
            )
        dtype = np.dtype("<i1") if kind == "INT8" else np.dtype("<i4")
        data = self._constant(record.Buffer(), shape, dtype)
        scales, zero_point, axis = self._quantization(record, f"tensor {index} '{name}'")
        if scales.size > 1:
            if data is None:
                raise VadgenError(
                    f"{self.name} has an activation quantized per channel (tensor {index} "
                    f"'{name}')",
                    "quantize activations per tensor",
                )
            if scales.size != shape[axis]:
                raise ValueError("as many scales as channels")
        if axis and axis >= len(shape):
            raise ValueError("quantized dimension out of range")
        return Tensor(
            name=name,
            shape=shape,
            dtype="int8" if kind == "INT8" else "int32",
            scales=scales,
            zero_point=zero_point,
            axis=axis,
            data=data,
        )

    def _constant(
        self, buffer: int, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> NDArray[Any] | None:
        if not 0 <= buffer < self._count(self.model.BuffersLength()):
            raise ValueError("buffer out of range")
        record = self.model.Buffers(buffer)
        if record.Offset() > 1:
            raise VadgenError(
                f"{self.name} keeps its weights outside the flatbuffer",
                "give a model below 2 GB, written in one flatbuffer",
            )
        if record.DataLength() == 0:
            return None
        if record.DataLength() != math.prod(shape) * dtype.itemsize:
            raise ValueError("size of a constant differs from its shape")
        return np.frombuffer(record.DataAsNumpy().tobytes(), dtype).reshape(shape)

    def _quantization(self, record: Any, where: str) -> tuple[NDArray[np.float32], int, int]:
        quantization = record.Quantization()
        if quantization is None or quantization.ScaleLength() == 0:
            return np.zeros(0, np.float32), 0, 0
        if quantization.DetailsType() != 0:
            raise VadgenError(
                f"{self.name} has a custom quantization ({where})", "use TFLite's int8 quantization"
            )
        scales = np.array(quantization.ScaleAsNumpy(), np.float32)
        if not np.all(np.isfinite(scales) & (scales >= 0)):
            raise ValueError("scale not finite or negative")
        zero_points = (
            set(_ints(quantization.ZeroPointAsNumpy())) if quantization.ZeroPointLength() else {0}
        )
        axis = int(quantization.QuantizedDimension())
        if len(zero_points) != 1 or axis < 0:
            raise VadgenError(
                f"{self.name} has a zero point for each channel ({where})",
                "quantize weights symmetrically (zero point 0)",
            )
        return scales, zero_points.pop(), axis

    def _op(self, record: Any, index: int) -> Op:
        kind = self._kind(record.OpcodeIndex(), index)
        return Op(
            kind=kind,
            inputs=_ints(record.InputsAsNumpy()),
            outputs=_ints(record.OutputsAsNumpy()),
            options=self._options(record, kind, f"operator {index} {kind}"),
        )

    def _kind(self, code_index: int, index: int) -> str:
        if not 0 <= code_index < self.model.OperatorCodesLength():
            raise ValueError("operator code out of range")
        code = self.model.OperatorCodes(code_index)
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        code.Version()  # Unused, but the last bytes of a file: a cut-off file is seen here.
        kind = enum_names("BuiltinOperator").get(builtin, f"number {builtin}")
        if kind == "CUSTOM":
            kind = "CUSTOM " + (code.CustomCode() or b"").decode("utf-8", "replace")
        if kind not in INT8_VERSIONS:
            raise VadgenError(
                f"{self.name} has an unknown operator: {kind} (operator {index})",
                _FIXED_SHAPE_HINT if kind in _DYNAMIC_KINDS else _SUPPORTED_HINT,
            )
        return kind

    def _options(self, record: Any, kind: str, where: str) -> Options:
        if kind not in _OPTION_READERS:
            return NoOptions()
        table_name, read = _OPTION_READERS[kind]
        table = record.BuiltinOptions()
        given = enum_names("BuiltinOptions").get(record.BuiltinOptionsType())
        if table is None or given != table_name:
            raise VadgenError(f"{self.name} has no {table_name} ({where})", _DAMAGED_HINT)
        options = getattr(self.schema, table_name)()
        options.Init(table.Bytes, table.Pos)
        return read(options, f"{self.name} ({where})")


def _ints(values: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in np.asarray(values).reshape(-1))


def _activation(options: Any, where: str) -> Activation:
    value = options.FusedActivationFunction()
    name = enum_names("ActivationFunctionType").get(value, f"number {value}")
    if name not in get_args(Activation):
        raise VadgenError(
            f"{where}: fused activation {name} is not supported",
            "use one of " + ", ".join(get_args(Activation)),
        )
    return cast(Activation, name)


def _padding(options: Any) -> Padding:
    return cast(Padding, enum_names("Padding")[options.Padding()])


def _conv(options: Any, where: str, depth_multiplier: int = 0) -> ConvOptions:
    dilation = (options.DilationHFactor(), options.DilationWFactor())
    if dilation != (1, 1):
        raise VadgenError(
            f"{where}: dilation {dilation[0]}x{dilation[1]} is not supported",
            "use a network without dilated convolutions",
        )
    return ConvOptions(
        stride_h=options.StrideH(),
        stride_w=options.StrideW(),
        padding=_padding(options),
        activation=_activation(options, where),
        depth_multiplier=depth_multiplier,
    )


def _depthwise(options: Any, where: str) -> ConvOptions:
    return _conv(options, where, options.DepthMultiplier())


def _pool(options: Any, where: str) -> PoolOptions:
    return PoolOptions(
        filter_h=options.FilterHeight(),
        filter_w=options.FilterWidth(),
        stride_h=options.StrideH(),
        stride_w=options.StrideW(),
        padding=_padding(options),
        activation=_activation(options, where),
    )


def _binary(options: Any, where: str) -> ActivationOptions:
    return ActivationOptions(activation=_activation(options, where))


def _fully_connected(options: Any, where: str) -> ActivationOptions:
    if options.WeightsFormat() != 0:
        raise VadgenError(
            f"{where}: shuffled weights are not supported",
            "convert with the default weights format",
        )
    return ActivationOptions(_activation(options, where), bool(options.KeepNumDims()))


def _concat(options: Any, where: str) -> ConcatOptions:
    return ConcatOptions(axis=options.Axis(), activation=_activation(options, where))


def _gather(options: Any, where: str) -> GatherOptions:
    return GatherOptions(axis=options.Axis(), batch_dims=options.BatchDims())


def _softmax(options: Any, where: str) -> SoftmaxOptions:
    return SoftmaxOptions(beta=float(options.Beta()))


def _mean(options: Any, where: str) -> MeanOptions:
    return MeanOptions(keep_dims=bool(options.KeepDims()))


_OPTION_READERS: dict[str, tuple[str, Callable[[Any, str], Options]]] = {
    "CONV_2D": ("Conv2DOptions", _conv),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", _depthwise),
    "AVERAGE_POOL_2D": ("Pool2DOptions", _pool),
    "MAX_POOL_2D": ("Pool2DOptions", _pool),
    "ADD": ("AddOptions", _binary),
    "MUL": ("MulOptions", _binary),
    "GATHER": ("GatherOptions", _gather),
    "FULLY_CONNECTED": ("FullyConnectedOptions", _fully_connected),
    "CONCATENATION": ("ConcatenationOptions", _concat),
    "SOFTMAX": ("SoftmaxOptions", _softmax),
    "MEAN": ("ReducerOptions", _mean),
}
