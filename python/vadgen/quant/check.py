"""Proves that a graph is consistent, so that what comes after may trust its shapes and order."""

from __future__ import annotations

import math
from collections.abc import Callable

from vadgen.errors import VadgenError
from vadgen.model import (
    ActivationOptions,
    ConcatOptions,
    ConvOptions,
    GatherOptions,
    Graph,
    MeanOptions,
    NoOptions,
    Op,
    Padding,
    PoolOptions,
    SoftmaxOptions,
    Tensor,
)

Shape = tuple[int, ...]
_HINT = "convert the model again; if it stays, the converter wrote a graph that contradicts itself"


def window_output(size: int, window: int, stride: int, padding: Padding) -> int:
    """Rows (or columns) a window gives: ceil(size/s) for SAME, ceil((size - window + 1)/s) else."""
    covered = size if padding == "SAME" else size - window + 1
    return -(-covered // stride)


def check_graph(graph: Graph, name: str = "model") -> None:
    """Check order, types, ranks, shapes and quantization of a graph of the supported operators.

    Every operator reads what is a constant, a graph input or written before; every activation is
    int8 with one positive scale and a zero point in int8; output shapes follow from the inputs'.

    Raises:
        VadgenError: names the operator and what is wrong.
    """
    known = set(graph.inputs)
    for index in graph.inputs:
        _activation(graph, index, f"{name}: graph input")
        if graph.tensors[index].data is not None:
            raise VadgenError(f"{name}: a graph input is a constant", _HINT)
    for position, op in enumerate(graph.ops):
        where = f"{name}: operator {position} {op.kind}"
        checker = _Checker(graph, op, where)
        for index in op.inputs:
            if not -1 <= index < len(graph.tensors):
                raise VadgenError(f"{where}: no tensor {index}", _HINT)
            if index >= 0 and graph.tensors[index].data is None and index not in known:
                raise VadgenError(f"{where}: reads tensor {index} before it is written", _HINT)
        if len(op.outputs) != 1:
            raise VadgenError(f"{where}: has {len(op.outputs)} outputs", _HINT)
        output = op.outputs[0]
        _activation(graph, output, where)
        if output in known or graph.tensors[output].data is not None:
            raise VadgenError(f"{where}: writes tensor {output} a second time", _HINT)
        checker.check()
        known.add(output)
    if not graph.inputs or not graph.outputs:
        raise VadgenError(f"{name}: the graph has no input or no output", _HINT)
    for index in graph.outputs:
        if index not in known:
            raise VadgenError(f"{name}: graph output {index} is never written", _HINT)


def _activation(graph: Graph, index: int, where: str) -> Tensor:
    if not 0 <= index < len(graph.tensors):
        raise VadgenError(f"{where}: no tensor {index}", _HINT)
    tensor = graph.tensors[index]
    if tensor.dtype != "int8":
        raise VadgenError(
            f"{where}: tensor '{tensor.name}' is {tensor.dtype}, not int8",
            "convert with inference_input_type = inference_output_type = tf.int8",
        )
    if tensor.scales.size != 1 or not tensor.scale > 0 or not -128 <= tensor.zero_point <= 127:
        raise VadgenError(
            f"{where}: tensor '{tensor.name}' needs one positive scale and an int8 zero point",
            "convert the model to full int8, activations per tensor",
        )
    return tensor


class _Checker:
    """Checks one operator; `self.x` and `self.y` are its first input and its output."""

    def __init__(self, graph: Graph, op: Op, where: str) -> None:
        self.graph = graph
        self.op = op
        self.where = where

    def fail(self, what: str) -> VadgenError:
        return VadgenError(f"{self.where}: {what}", _HINT)

    def require(self, holds: bool, what: str) -> None:
        if not holds:
            raise self.fail(what)

    def check(self) -> None:
        n_inputs, options, check = _CHECKS[self.op.kind]
        self.require(isinstance(self.op.options, options), f"options are not {options.__name__}")
        low, high = n_inputs
        self.require(low <= len(self.op.inputs) <= high, f"has {len(self.op.inputs)} inputs")
        self.require(self.op.inputs[0] >= 0, "has no input")
        self.x = _activation(self.graph, self.op.inputs[0], self.where)
        self.require(self.x.data is None or self.op.kind == "ADD", "works on a constant")
        self.y = self.graph.tensors[self.op.outputs[0]]
        check(self)

    def constant(self, position: int, dtype: str, rank: int) -> Tensor:
        index = self.op.inputs[position]
        self.require(index >= 0, f"input {position} is missing")
        tensor = self.graph.tensors[index]
        self.require(tensor.data is not None, f"input {position} is not a constant")
        self.require(tensor.dtype == dtype, f"input {position} is {tensor.dtype}, not {dtype}")
        self.require(
            len(tensor.shape) == rank, f"input {position} has rank {len(tensor.shape)}, not {rank}"
        )
        return tensor

    def shape(self, expected: Shape) -> None:
        self.require(self.y.shape == expected, f"output shape {self.y.shape}, expected {expected}")

    def image(self) -> tuple[int, int, int]:
        self.require(len(self.x.shape) == 4, f"input has rank {len(self.x.shape)}, not 4")
        self.require(self.x.shape[0] == 1, f"batch of {self.x.shape[0]}, not 1")
        return self.x.shape[1], self.x.shape[2], self.x.shape[3]

    def windows(self, window: tuple[int, int], stride: tuple[int, int], padding: Padding) -> Shape:
        height, width, _ = self.image()
        self.require(min(*window, *stride) >= 1, f"window {window} and stride {stride}")
        rows = window_output(height, window[0], stride[0], padding)
        columns = window_output(width, window[1], stride[1], padding)
        self.require(min(rows, columns) >= 1, f"window {window} larger than the image")
        return 1, rows, columns

    def weights(self, rank: int, channel_axis: int) -> Tensor:
        """The second input (symmetric int8) and the third (int32 bias or absent)."""
        weights = self.constant(1, "int8", rank)
        channels = weights.shape[channel_axis]
        self.require(weights.zero_point == 0, "weights have a zero point")
        self.require(weights.scales.size in (1, channels), f"{weights.scales.size} weight scales")
        self.require(
            weights.scales.size == 1 or weights.axis == channel_axis,
            f"weights quantized along dimension {weights.axis}, not {channel_axis}",
        )
        if len(self.op.inputs) == 3 and self.op.inputs[2] >= 0:
            bias = self.constant(2, "int32", 1)
            self.require(bias.shape == (channels,), f"bias of shape {bias.shape}")
        return weights

    def conv(self) -> None:
        options = self.op.options
        assert isinstance(options, ConvOptions)
        channels = self.image()[2]
        depthwise = self.op.kind == "DEPTHWISE_CONV_2D"
        weights = self.weights(4, 3 if depthwise else 0)
        if depthwise:
            fits = weights.shape[0::3] == (1, channels * options.depth_multiplier)
        else:
            groups, left = divmod(channels, weights.shape[3])
            fits = groups > 0 and left == 0 and weights.shape[0] % groups == 0
        self.require(fits, f"weights {weights.shape} for {channels} channels")
        stride = (options.stride_h, options.stride_w)
        window = (weights.shape[1], weights.shape[2])
        n_out = weights.shape[3 if depthwise else 0]
        self.shape((*self.windows(window, stride, options.padding), n_out))

    def pool(self) -> None:
        options = self.op.options
        assert isinstance(options, PoolOptions)
        window = (options.filter_h, options.filter_w)
        stride = (options.stride_h, options.stride_w)
        self.shape((*self.windows(window, stride, options.padding), self.x.shape[3]))
        self.same_quantization()

    def same_quantization(self) -> None:
        self.require(
            self.x.scale == self.y.scale and self.x.zero_point == self.y.zero_point,
            "input and output are quantized differently",
        )

    def add(self) -> None:
        other = _activation(self.graph, self.op.inputs[1], self.where)
        self.require(self.x.shape == other.shape, f"adds shapes {self.x.shape} and {other.shape}")
        self.shape(self.x.shape)

    def mul(self) -> None:
        other = _activation(self.graph, self.op.inputs[1], self.where)
        large, small = sorted((self.x.shape, other.shape), key=math.prod, reverse=True)
        aligned = (1,) * (len(large) - len(small)) + small
        self.require(
            len(aligned) == len(large)
            and all(b in (a, 1) for a, b in zip(large, aligned, strict=True)),
            f"multiplies shapes {self.x.shape} and {other.shape}",
        )
        self.shape(large)

    def maximum(self) -> None:
        other = _activation(self.graph, self.op.inputs[1], self.where)
        self.require(self.x.shape == other.shape, f"shapes {self.x.shape} and {other.shape}")
        self.shape(self.x.shape)
        self.same_quantization()
        self.require(
            other.scale == self.y.scale and other.zero_point == self.y.zero_point,
            "inputs are quantized differently",
        )

    def gather(self) -> None:
        options = self.op.options
        assert isinstance(options, GatherOptions)
        indices = self.constant(1, "int32", 1)
        rank = len(self.x.shape)
        self.require(-rank <= options.axis < rank, f"axis {options.axis} out of range")
        axis = options.axis % rank
        assert indices.data is not None
        inside = (indices.data >= 0) & (indices.data < self.x.shape[axis])
        self.require(bool(inside.all()), "index out of range")
        self.shape((*self.x.shape[:axis], indices.shape[0], *self.x.shape[axis + 1 :]))
        self.same_quantization()

    def pad(self) -> None:
        rank = len(self.x.shape)
        paddings = self.constant(1, "int32", 2)
        self.require(paddings.shape == (rank, 2), f"paddings of shape {paddings.shape}")
        assert paddings.data is not None
        self.require(bool((paddings.data >= 0).all()), "negative padding")
        grown = tuple(
            size + int(before) + int(after)
            for size, (before, after) in zip(self.x.shape, paddings.data, strict=True)
        )
        self.shape(grown)
        self.same_quantization()

    def mean(self) -> None:
        options = self.op.options
        assert isinstance(options, MeanOptions)
        index = self.op.inputs[1]
        self.require(index >= 0, "input 1 is missing")
        axes = self.graph.tensors[index].data
        if axes is None or self.graph.tensors[index].dtype != "int32":
            raise self.fail("axes are not constant int32")
        rank = len(self.x.shape)
        self.require(bool(((axes >= -rank) & (axes < rank)).all()), "axis out of range")
        reduced = {int(axis) % rank for axis in axes.reshape(-1)}
        if options.keep_dims:
            self.shape(tuple(1 if i in reduced else n for i, n in enumerate(self.x.shape)))
        else:
            self.shape(tuple(n for i, n in enumerate(self.x.shape) if i not in reduced))

    def reshape(self) -> None:
        self.require(
            math.prod(self.x.shape) == math.prod(self.y.shape),
            f"reshapes {self.x.shape} to {self.y.shape}",
        )
        self.same_quantization()

    def concat(self) -> None:
        options = self.op.options
        assert isinstance(options, ConcatOptions)
        rank = len(self.x.shape)
        self.require(-rank <= options.axis < rank, f"axis {options.axis} out of range")
        self.require(options.activation == "NONE", "fused activation")
        axis = options.axis % rank
        total = 0
        for index in self.op.inputs:
            tensor = _activation(self.graph, index, self.where)
            others = (*tensor.shape[:axis], *tensor.shape[axis + 1 :])
            self.require(
                len(tensor.shape) == rank
                and others == (*self.x.shape[:axis], *self.x.shape[axis + 1 :]),
                f"joins shapes {self.x.shape} and {tensor.shape}",
            )
            total += tensor.shape[axis]
        self.shape((*self.x.shape[:axis], total, *self.x.shape[axis + 1 :]))

    def fully_connected(self) -> None:
        options = self.op.options
        assert isinstance(options, ActivationOptions)
        weights = self.weights(2, 0)
        n_out, n_in = weights.shape
        size = math.prod(self.x.shape)
        self.require(size % n_in == 0, f"weights {weights.shape} for {size} values")
        if options.keep_num_dims:
            self.require(self.x.shape[-1] == n_in, f"weights {weights.shape} for {self.x.shape}")
            self.shape((*self.x.shape[:-1], n_out))
        else:
            self.shape((size // n_in, n_out))

    def softmax(self) -> None:
        options = self.op.options
        assert isinstance(options, SoftmaxOptions)
        self.require(0 < options.beta < math.inf, f"beta of {options.beta}")
        self.shape(self.x.shape)

    def elementwise(self) -> None:
        self.shape(self.x.shape)


_CHECKS: dict[str, tuple[tuple[int, int], type, Callable[[_Checker], None]]] = {
    "CONV_2D": ((2, 3), ConvOptions, _Checker.conv),
    "DEPTHWISE_CONV_2D": ((2, 3), ConvOptions, _Checker.conv),
    "ADD": ((2, 2), ActivationOptions, _Checker.add),
    "MUL": ((2, 2), ActivationOptions, _Checker.mul),
    "MAXIMUM": ((2, 2), NoOptions, _Checker.maximum),
    "GATHER": ((2, 2), GatherOptions, _Checker.gather),
    "PAD": ((2, 2), NoOptions, _Checker.pad),
    "AVERAGE_POOL_2D": ((1, 1), PoolOptions, _Checker.pool),
    "MAX_POOL_2D": ((1, 1), PoolOptions, _Checker.pool),
    "MEAN": ((2, 2), MeanOptions, _Checker.mean),
    "RESHAPE": ((1, 2), NoOptions, _Checker.reshape),
    "CONCATENATION": ((1, 64), ConcatOptions, _Checker.concat),
    "FULLY_CONNECTED": ((2, 3), ActivationOptions, _Checker.fully_connected),
    "SOFTMAX": ((1, 1), SoftmaxOptions, _Checker.softmax),
    "RELU": ((1, 1), NoOptions, _Checker.elementwise),
    "RELU6": ((1, 1), NoOptions, _Checker.elementwise),
    "QUANTIZE": ((1, 1), NoOptions, _Checker.elementwise),
    "HARD_SWISH": ((1, 1), NoOptions, _Checker.elementwise),
    "LOGISTIC": ((1, 1), NoOptions, _Checker.elementwise),
}
