"""Lowers a TFLite graph to a Program: integer layers whose every constant is decided.

This is the only place where float scales turn into multipliers and shifts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vadgen.errors import VadgenError
from vadgen.fixed import (
    exp_on_negative_values,
    hard_swish,
    logistic,
    quantize_float32,
    quantize_multiplier,
    requantize,
)
from vadgen.model import (
    ActivationOptions,
    ConcatOptions,
    ConvOptions,
    GatherOptions,
    Graph,
    Op,
    PoolOptions,
    SoftmaxOptions,
    Tensor,
)


@dataclass(frozen=True)
class Value:
    """An int8 activation as rows: `rows` rows of `width * channels` bytes, channels innermost."""

    index: int
    name: str
    rows: int
    width: int
    channels: int
    scale: float
    zero_point: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.width * self.channels

    @property
    def total_bytes(self) -> int:
        """Bytes of the whole tensor."""
        return self.rows * self.row_bytes


@dataclass(frozen=True, eq=False)
class Requant:
    """Requantization by output channel: `requantize(acc, multiplier, shift) + zero point`, clamped.

    Attributes:
        multiplier: int32 (channels,), Q0.31.
        shift: int32 (channels,), in [-31, 30], left when positive.
        zero_point, low, high: the output's zero point and clamping bounds, in [-128, 127].
    """

    multiplier: NDArray[np.int32]
    shift: NDArray[np.int32]
    zero_point: int
    low: int
    high: int


@dataclass(frozen=True)
class RowWindow:
    """Output row y reads `count` input rows from ceil(y * stride / of) + first on.

    Rows that the input does not have are left out.
    """

    stride: int = 1
    first: int = 0
    count: int = 1
    of: int = 1

    def start(self, y: int) -> int:
        """The first row that output row y reads."""
        return -(-y * self.stride // self.of) + self.first


@dataclass(frozen=True, eq=False)
class Layer:
    """What all layers share: a label for people, input value indices, the output value's index."""

    label: str
    inputs: tuple[int, ...]
    output: int

    @property
    def row_window(self) -> RowWindow:
        """The rows of each input that an output row reads."""
        return RowWindow()

    @property
    def row_windows(self) -> tuple[RowWindow, ...]:
        """`row_window` by input, for layers that do not read all alike."""
        return (self.row_window,) * len(self.inputs)


@dataclass(frozen=True, eq=False)
class Window(Layer):
    """A layer that slides a window: kernel, stride and the padding before the first pixel."""

    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int

    @property
    def row_window(self) -> RowWindow:
        """See `Layer.row_window`."""
        return RowWindow(self.stride_h, -self.pad_top, self.kernel_h)


@dataclass(frozen=True, eq=False)
class Conv2d(Window):
    """CONV_2D and FULLY_CONNECTED: weights int8 (O, KH, KW, I), bias int32 (O,)."""

    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    requant: Requant


@dataclass(frozen=True, eq=False)
class GroupConv2d(Window):
    """CONV_2D in groups: weights int8 (O, KH, KW, I / groups), bias int32 (O,).

    The output channels of a group, next to each other, see its share of the input channels alone.
    """

    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    requant: Requant
    groups: int


@dataclass(frozen=True, eq=False)
class DepthwiseConv2d(Window):
    """DEPTHWISE_CONV_2D: weights int8 (KH, KW, I * multiplier), bias int32 (I * multiplier,)."""

    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    requant: Requant
    depth_multiplier: int


@dataclass(frozen=True)
class Pool(Window):
    """AVERAGE_POOL_2D (`average`) and MAX_POOL_2D; padding does not count."""

    average: bool
    low: int
    high: int


@dataclass(frozen=True)
class Add(Layer):
    """ADD: inputs shifted left by 20, scaled by (multiplier, shift), summed, requantized.

    `multipliers` and `shifts` are those of the first input, the second input, the output.
    """

    zero_points: tuple[int, int, int]
    multipliers: tuple[int, int, int]
    shifts: tuple[int, int, int]
    low: int
    high: int


@dataclass(frozen=True)
class Mul(Layer):
    """MUL: requantize(product of both inputs, each centred), of equal shapes or by channel.

    Attributes:
        zero_points: of the first input, the second input, the output.
        multiplier, shift: of the requantization.
        low, high: clamping bounds.
        by_channel: the second input is one pixel, which multiplies every pixel of the first.
    """

    zero_points: tuple[int, int, int]
    multiplier: int
    shift: int
    low: int
    high: int
    by_channel: bool

    @property
    def row_windows(self) -> tuple[RowWindow, ...]:
        """See `Layer.row_windows`."""
        return RowWindow(), RowWindow(0, 0, 1) if self.by_channel else RowWindow()


@dataclass(frozen=True)
class Maximum(Layer):
    """MAXIMUM of two tensors of the same shape and quantization."""


@dataclass(frozen=True, eq=False)
class Gather(Layer):
    """GATHER along channels: output channel i is input channel `channels[i]`, int64 (O,)."""

    channels: NDArray[np.int64]


@dataclass(frozen=True)
class Pad(Layer):
    """PAD with the zero point: rows on top, then columns and channels before each row's data."""

    top: int
    left: int
    channels_before: int
    zero_point: int

    @property
    def row_window(self) -> RowWindow:
        """See `Layer.row_window`; rows outside the input are padding."""
        return RowWindow(1, -self.top, 1)


@dataclass(frozen=True)
class Mean(Layer):
    """MEAN over height and width: requantize(sum - count * zero point), multiplier with 1/count."""

    rows: int
    in_zero_point: int
    zero_point: int
    multiplier: int
    shift: int

    @property
    def row_window(self) -> RowWindow:
        """All rows at once."""
        return RowWindow(0, 0, self.rows)


@dataclass(frozen=True, eq=False)
class Lut(Layer):
    """What maps a value to a value: RELU, RELU6, QUANTIZE, HARD_SWISH, LOGISTIC.

    Attributes:
        table: int8 (256,), indexed by `value + 128`.
    """

    table: NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Softmax(Layer):
    """SOFTMAX over channels: exp of `-i` input steps as Q0.31 int32 (256,), 0 where negligible."""

    exp_table: NDArray[np.int32]


@dataclass(frozen=True)
class Concat(Layer):
    """CONCATENATION of channels."""


@dataclass(frozen=True)
class Copy(Layer):
    """RESHAPE: all rows as one, one row cut into several (`cuts`), or each row as it is."""

    rows_in: int
    rows_out: int

    @property
    def cuts(self) -> bool:
        """Whether output row y is the y-th part of the one input row."""
        return self.rows_in == 1 and self.rows_out > 1

    @property
    def row_window(self) -> RowWindow:
        """See `Layer.row_window`."""
        if self.rows_out == 1 or self.cuts:
            return RowWindow(0, 0, self.rows_in)
        return RowWindow()


@dataclass(frozen=True, eq=False)
class Program:
    """Integer layers in execution order.

    Attributes:
        values: value 0 is the input; `layers[i].output == i + 1`.
        layers: one layer a value.
        outputs: value indices of the graph's outputs, in the graph's order.
    """

    values: tuple[Value, ...]
    layers: tuple[Layer, ...]
    outputs: tuple[int, ...]

    @property
    def output_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """(rows, width, channels) of each output."""
        return tuple((v.rows, v.width, v.channels) for v in (self.values[i] for i in self.outputs))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        total = 0
        for layer in self.layers:
            out = self.values[layer.output]
            if isinstance(layer, Conv2d | GroupConv2d | DepthwiseConv2d):
                total += out.rows * out.width * layer.weights.size
        return total


def lower(graph: Graph) -> Program:
    """Turns a graph into integer layers.

    Raises:
        VadgenError: an operator, shape or quantization that is not supported, named with its index.
    """
    return _Lowering(graph).run()


def _geometry(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(rows, width, channels) of an NHWC shape of rank 1 to 4 with batch 1."""
    if len(shape) == 4:
        return shape[1], shape[2], shape[3]
    if len(shape) == 3:
        return 1, shape[1], shape[2]
    return 1, 1, math.prod(shape)


OptionsT = TypeVar("OptionsT")


class _Lowering:
    """One pass over the operators; `self.value_of` maps tensor indices to value indices."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values: list[Value] = []
        self.layers: list[Layer] = []
        self.value_of: dict[int, int] = {}

    def run(self) -> Program:
        if len(self.graph.inputs) != 1:
            raise VadgenError(
                f"the model has {len(self.graph.inputs)} inputs, one is supported",
                "cut the model so that it takes one image",
            )
        self._new_value(self.graph.inputs[0])
        for index, op in enumerate(self.graph.ops):
            handler = _HANDLERS.get(op.kind)
            if handler is None:
                raise VadgenError(
                    f"operator {index} is {op.kind}, which is not supported",
                    f"supported are {', '.join(sorted(_HANDLERS))}",
                )
            try:
                handler(self, op, f"{index:02d} {op.kind}")
            except _RefusedError as refused:
                raise VadgenError(
                    f"operator {index} ({op.kind}): {refused}",
                    "change this layer in the model, then convert it again",
                ) from None
        missing = [t for t in self.graph.outputs if t not in self.value_of]
        if missing:
            raise VadgenError(
                f"output tensor {missing[0]} is made by no operator", "convert the model again"
            )
        return Program(
            tuple(self.values),
            tuple(self.layers),
            tuple(self.value_of[t] for t in self.graph.outputs),
        )

    # -- helpers ---------------------------------------------------------------------------------

    def tensor(self, index: int) -> Tensor:
        return self.graph.tensors[index]

    def _new_value(self, tensor_index: int) -> int:
        t = self.tensor(tensor_index)
        if t.dtype != "int8" or len(t.scales) != 1:
            raise _RefusedError(f"tensor {t.name!r} is not int8 with one scale")
        if t.shape and t.shape[0] != 1 and len(t.shape) > 1:
            raise _RefusedError(f"tensor {t.name!r} has batch {t.shape[0]}, only 1 is supported")
        rows, width, channels = _geometry(t.shape)
        index = len(self.values)
        self.values.append(Value(index, t.name, rows, width, channels, t.scale, t.zero_point))
        self.value_of[tensor_index] = index
        return index

    def source(self, op: Op, slot: int) -> int:
        """Value index of an activation input."""
        tensor_index = op.inputs[slot]
        if tensor_index not in self.value_of:
            raise _RefusedError(
                f"input {slot} ({self.tensor(tensor_index).name!r}) is a constant or not made yet"
            )
        return self.value_of[tensor_index]

    def constant(self, op: Op, slot: int) -> Tensor:
        t = self.tensor(op.inputs[slot])
        if t.data is None:
            raise _RefusedError(f"input {slot} ({t.name!r}) must be a constant")
        return t

    def activation_bounds(self, activation: str, out: Tensor) -> tuple[int, int]:
        low, high = -128, 127
        if activation in ("RELU", "RELU6"):
            low = max(low, quantize_float32(0.0, out.scale, out.zero_point))
        if activation == "RELU6":
            high = min(high, quantize_float32(6.0, out.scale, out.zero_point))
        if activation == "RELU_N1_TO_1":
            low = max(low, quantize_float32(-1.0, out.scale, out.zero_point))
            high = min(high, quantize_float32(1.0, out.scale, out.zero_point))
        return low, high

    def requant(self, op: Op, weights: Tensor, channels: int, activation: str) -> Requant:
        source, out = self.tensor(op.inputs[0]), self.tensor(op.outputs[0])
        if len(weights.scales) not in (1, channels):
            raise _RefusedError(
                f"{len(weights.scales)} weight scales for {channels} output channels"
            )
        scales = np.broadcast_to(weights.scales, (channels,))
        pairs = [quantize_multiplier(source.scale * float(s) / out.scale) for s in scales.tolist()]
        low, high = self.activation_bounds(activation, out)
        return Requant(
            np.array([p[0] for p in pairs], dtype=np.int32),
            np.array([p[1] for p in pairs], dtype=np.int32),
            out.zero_point,
            low,
            high,
        )

    def bias(self, op: Op, weights: NDArray[np.int8]) -> NDArray[np.int32]:
        """The bias, after a check that no sum can leave int32 (weights: one row an output).

        255 for a centred input, 128 for a zero point that a folded bias has yet to cancel.
        """
        if len(op.inputs) > 2 and op.inputs[2] >= 0:
            bias = self.constant(op, 2).data
            assert bias is not None
            bias = bias.reshape(-1).astype(np.int64)
        else:
            bias = np.zeros(len(weights), dtype=np.int64)
        if bias.shape != (len(weights),):
            raise _RefusedError(f"{bias.size} biases for {len(weights)} output channels")
        bound = np.abs(bias) + 383 * np.abs(weights.astype(np.int64)).sum(axis=1)
        if int(bound.max()) >= 2**31:
            raise _RefusedError("its sums can leave 32 bits")
        return bias.astype(np.int32)

    def windows(
        self, op: Op, padding: str, kernel: tuple[int, int], stride: tuple[int, int]
    ) -> tuple[int, int]:
        """(pad_top, pad_left) by TFLite's rule, after checking the output's shape."""
        rows, width, _ = _geometry(self.tensor(op.inputs[0]).shape)
        out_rows, out_width, _ = _geometry(self.tensor(op.outputs[0]).shape)
        pads = []
        for size, out_size, k, s in zip(
            (rows, width), (out_rows, out_width), kernel, stride, strict=True
        ):
            expected = -(-size // s) if padding == "SAME" else (size - k) // s + 1
            if expected != out_size or (padding == "VALID" and size < k):
                raise _RefusedError(f"the output has size {out_size}, expected {expected}")
            pads.append(max((out_size - 1) * s + k - size, 0) // 2 if padding == "SAME" else 0)
        return pads[0], pads[1]

    def emit(self, op: Op, make: Callable[[int], Layer]) -> None:
        self.layers.append(make(self._new_value(op.outputs[0])))

    # -- operators -------------------------------------------------------------------------------

    def conv2d(self, op: Op, label: str) -> None:
        o = _options(op, ConvOptions)
        source, weights = self.source(op, 0), self.constant(op, 1)
        data = weights.data
        assert data is not None
        out_channels, kh, kw, in_channels = data.shape
        groups = self.values[source].channels // in_channels
        if groups * in_channels != self.values[source].channels or out_channels % groups:
            raise _RefusedError("its channels do not divide into groups")
        if (o.dilation_h, o.dilation_w) != (1, 1):
            raise _RefusedError("dilation")
        pad = self.windows(op, o.padding, (kh, kw), (o.stride_h, o.stride_w))
        requant = self.requant(op, weights, out_channels, o.activation)
        bias = self.bias(op, data.reshape(out_channels, -1))
        geometry = (kh, kw, o.stride_h, o.stride_w, *pad)
        if groups == 1:
            self.emit(op, lambda v: Conv2d(label, (source,), v, *geometry, data, bias, requant))
        else:
            self.emit(
                op,
                lambda v: GroupConv2d(label, (source,), v, *geometry, data, bias, requant, groups),
            )

    def depthwise(self, op: Op, label: str) -> None:
        o = _options(op, ConvOptions)
        source, weights = self.source(op, 0), self.constant(op, 1)
        data = weights.data
        assert data is not None
        _, kh, kw, channels = data.shape
        multiplier = channels // self.values[source].channels
        if multiplier * self.values[source].channels != channels:
            raise _RefusedError("output channels are no multiple of the input's")
        if (o.dilation_h, o.dilation_w) != (1, 1):
            raise _RefusedError("dilation")
        pad = self.windows(op, o.padding, (kh, kw), (o.stride_h, o.stride_w))
        requant = self.requant(op, weights, channels, o.activation)
        bias = self.bias(op, np.ascontiguousarray(data.reshape(-1, channels).T))
        self.emit(
            op,
            lambda v: DepthwiseConv2d(
                label,
                (source,),
                v,
                kh,
                kw,
                o.stride_h,
                o.stride_w,
                *pad,
                data[0],
                bias,
                requant,
                multiplier,
            ),
        )

    def fully_connected(self, op: Op, label: str) -> None:
        """A convolution whose kernel is the whole input."""
        o = _options(op, ActivationOptions)
        source, weights = self.source(op, 0), self.constant(op, 1)
        data = weights.data
        assert data is not None
        out_channels, depth = data.shape
        v_in = self.values[source]
        rows, width, channels = _geometry(self.tensor(op.outputs[0]).shape)
        if channels != out_channels or depth * rows * width != v_in.total_bytes:
            raise _RefusedError(f"{depth} weights a row for {v_in.total_bytes} inputs")
        if (rows, width) == (v_in.rows, v_in.width):
            kernel = (1, 1)
        elif (rows, width) == (1, 1):
            kernel = (v_in.rows, v_in.width)
        else:
            raise _RefusedError("input and output shapes do not match")
        requant = self.requant(op, weights, out_channels, o.activation)
        bias = self.bias(op, data)
        shaped = data.reshape(out_channels, *kernel, v_in.channels)
        self.emit(
            op, lambda v: Conv2d(label, (source,), v, *kernel, 1, 1, 0, 0, shaped, bias, requant)
        )

    def pool(self, op: Op, label: str) -> None:
        o = _options(op, PoolOptions)
        source, out = self.source(op, 0), self.tensor(op.outputs[0])
        kernel, stride = (o.filter_h, o.filter_w), (o.stride_h, o.stride_w)
        pad = self.windows(op, o.padding, kernel, stride)
        t_in = self.tensor(op.inputs[0])
        if (t_in.scale, t_in.zero_point) != (out.scale, out.zero_point):
            raise _RefusedError("input and output are quantized differently")
        low, high = self.activation_bounds(o.activation, out)
        average = op.kind == "AVERAGE_POOL_2D"
        self.emit(
            op, lambda v: Pool(label, (source,), v, *kernel, *stride, *pad, average, low, high)
        )

    def add(self, op: Op, label: str) -> None:
        o = _options(op, ActivationOptions)
        sources = (self.source(op, 0), self.source(op, 1))
        a, b, out = self.tensor(op.inputs[0]), self.tensor(op.inputs[1]), self.tensor(op.outputs[0])
        if a.shape != b.shape:
            raise _RefusedError(f"broadcasting of {a.shape} and {b.shape}")
        twice_max = 2.0 * max(a.scale, b.scale)
        pairs = (
            quantize_multiplier(a.scale / twice_max),
            quantize_multiplier(b.scale / twice_max),
            quantize_multiplier(twice_max / ((1 << 20) * out.scale)),
        )
        if pairs[2][1] > 0:
            raise _RefusedError("its output scale is too small for its inputs")
        low, high = self.activation_bounds(o.activation, out)
        self.emit(
            op,
            lambda v: Add(
                label,
                sources,
                v,
                (a.zero_point, b.zero_point, out.zero_point),
                (pairs[0][0], pairs[1][0], pairs[2][0]),
                (pairs[0][1], pairs[1][1], pairs[2][1]),
                low,
                high,
            ),
        )

    def mul(self, op: Op, label: str) -> None:
        o = _options(op, ActivationOptions)
        # TFLite multiplies in any order: the one pixel becomes the second input.
        first, second = sorted((0, 1), key=lambda i: -math.prod(self.tensor(op.inputs[i]).shape))
        sources = (self.source(op, first), self.source(op, second))
        a, b = self.tensor(op.inputs[first]), self.tensor(op.inputs[second])
        out = self.tensor(op.outputs[0])
        shapes = [_geometry(t.shape) for t in (a, b)]
        by_channel = shapes[0] != shapes[1]
        if by_channel and (shapes[1] != (1, 1, shapes[0][2]) or shapes[0] != _geometry(out.shape)):
            raise _RefusedError(f"broadcasting of {a.shape} and {b.shape}")
        multiplier, shift = quantize_multiplier(a.scale * b.scale / out.scale)
        if shift > 14:
            raise _RefusedError("its output scale is too small for its inputs")
        low, high = self.activation_bounds(o.activation, out)
        zero_points = (a.zero_point, b.zero_point, out.zero_point)
        self.emit(
            op,
            lambda v: Mul(label, sources, v, zero_points, multiplier, shift, low, high, by_channel),
        )

    def maximum(self, op: Op, label: str) -> None:
        sources = (self.source(op, 0), self.source(op, 1))
        a, b, out = (self.tensor(t) for t in (*op.inputs, *op.outputs))
        if a.shape != b.shape:
            raise _RefusedError(f"broadcasting of {a.shape} and {b.shape}")
        if len({(t.scale, t.zero_point) for t in (a, b, out)}) != 1:
            raise _RefusedError("inputs and output are quantized differently")
        self.emit(op, lambda v: Maximum(label, sources, v))

    def gather(self, op: Op, label: str) -> None:
        o = _options(op, GatherOptions)
        source, channels = self.source(op, 0), self.constant(op, 1).data
        assert channels is not None
        rank = len(self.tensor(op.inputs[0]).shape)
        if o.axis % rank != rank - 1 or o.batch_dims != 0:
            raise _RefusedError("only channels (the last axis) can be gathered")
        self.emit(op, lambda v: Gather(label, (source,), v, channels.astype(np.int64)))

    def pad(self, op: Op, label: str) -> None:
        source, out = self.source(op, 0), self.tensor(op.outputs[0])
        pads = self.constant(op, 1).data
        assert pads is not None
        rank = len(self.tensor(op.inputs[0]).shape)
        if rank != 4 or pads.shape != (4, 2) or (pads < 0).any() or pads[0].any():
            raise _RefusedError("only height, width and channels of an image can be padded")
        (top, _), (left, _), (before, _) = pads[1:].tolist()
        self.emit(op, lambda v: Pad(label, (source,), v, top, left, before, out.zero_point))

    def mean(self, op: Op, label: str) -> None:
        source = self.source(op, 0)
        t_in, out = self.tensor(op.inputs[0]), self.tensor(op.outputs[0])
        axes = self.constant(op, 1).data
        assert axes is not None
        rank = len(t_in.shape)
        if rank != 4 or sorted(a % rank for a in axes.reshape(-1).tolist()) != [1, 2]:
            raise _RefusedError("only the mean over height and width is supported")
        v_in = self.values[source]
        count = v_in.rows * v_in.width
        multiplier, shift = quantize_multiplier(t_in.scale / out.scale)
        # 1 / count is folded into the multiplier as TFLM does: as many bits as count has.
        extra = min(count.bit_length() - 1, 32, 31 + shift)
        multiplier, shift = (multiplier << extra) // count, shift - extra
        self.emit(
            op,
            lambda v: Mean(
                label, (source,), v, v_in.rows, t_in.zero_point, out.zero_point, multiplier, shift
            ),
        )

    def lut(self, op: Op, label: str) -> None:
        source = self.source(op, 0)
        t_in, out = self.tensor(op.inputs[0]), self.tensor(op.outputs[0])
        codes = np.arange(-128, 128, dtype=np.int64)
        table: NDArray[np.int64] | None
        if op.kind == "RELU6":
            six = min(max(quantize_float32(6.0, t_in.scale, t_in.zero_point), -128), 127)
            table = np.clip(codes, t_in.zero_point, six)
        elif op.kind == "HARD_SWISH":
            table = hard_swish(codes, t_in.scale, t_in.zero_point, out.scale, out.zero_point)
        elif op.kind == "LOGISTIC":
            if (out.scale, out.zero_point) != (1.0 / 256.0, -128):
                raise _RefusedError("its output must have scale 1/256 and zero point -128")
            table = logistic(codes - t_in.zero_point, t_in.scale)
        else:
            # RELU divides the scales in float32, QUANTIZE in double.
            ratio = (
                float(np.float32(t_in.scale) / np.float32(out.scale))
                if op.kind == "RELU"
                else t_in.scale / out.scale
            )
            multiplier, shift = quantize_multiplier(ratio)
            scaled = requantize(codes - t_in.zero_point, multiplier, shift) + out.zero_point
            table = np.clip(scaled, max(out.zero_point, -128) if op.kind == "RELU" else -128, 127)
        if table is None:
            raise _RefusedError("its scales are beyond what TFLite Micro takes")
        self.emit(op, lambda v: Lut(label, (source,), v, table.astype(np.int8)))

    def softmax(self, op: Op, label: str) -> None:
        o = _options(op, SoftmaxOptions)
        source = self.source(op, 0)
        t_in, out = self.tensor(op.inputs[0]), self.tensor(op.outputs[0])
        if (out.scale, out.zero_point) != (1.0 / 256.0, -128):
            raise _RefusedError("its output must have scale 1/256 and zero point -128")
        real = min(o.beta * t_in.scale * (1 << 26), 2.0**31 - 1.0)
        if real <= 1.0:
            raise _RefusedError("its input scale is too small")
        multiplier, shift = quantize_multiplier(real)
        radius = math.floor(31.0 * (1 << 26) / (1 << shift))
        differences = -np.arange(256)
        exps = exp_on_negative_values(requantize(differences, multiplier, shift))
        table = np.where(differences >= -radius, exps, 0).astype(np.int32)
        self.emit(op, lambda v: Softmax(label, (source,), v, table))

    def concat(self, op: Op, label: str) -> None:
        o = _options(op, ConcatOptions)
        sources = tuple(self.source(op, i) for i in range(len(op.inputs)))
        out = self.tensor(op.outputs[0])
        rank = len(out.shape)
        if o.activation != "NONE":
            raise _RefusedError("a fused activation")
        if any(
            (self.tensor(t).scale, self.tensor(t).zero_point) != (out.scale, out.zero_point)
            for t in op.inputs
        ):
            raise _RefusedError("inputs and output are quantized differently")
        if o.axis % rank != rank - 1:
            raise _RefusedError("only channels (the last axis) can be concatenated")
        self.emit(op, lambda v: Concat(label, sources, v))

    def reshape(self, op: Op, label: str) -> None:
        source = self.source(op, 0)
        v_in = self.values[source]
        rows, width, channels = _geometry(self.tensor(op.outputs[0]).shape)
        if rows * width * channels != v_in.total_bytes:
            raise _RefusedError("the number of elements changes")
        if rows != v_in.rows and 1 not in (rows, v_in.rows):
            raise _RefusedError("one image is reshaped into another")
        self.emit(op, lambda v: Copy(label, (source,), v, v_in.rows, rows))


class _RefusedError(Exception):
    """Why an operator cannot be lowered; becomes a VadgenError that names the operator."""


def _options(op: Op, kind: type[OptionsT]) -> OptionsT:
    assert isinstance(op.options, kind), f"{op.kind} with {type(op.options).__name__}"
    return op.options


_HANDLERS: dict[str, Callable[[_Lowering, Op, str], None]] = {
    "CONV_2D": _Lowering.conv2d,
    "DEPTHWISE_CONV_2D": _Lowering.depthwise,
    "FULLY_CONNECTED": _Lowering.fully_connected,
    "AVERAGE_POOL_2D": _Lowering.pool,
    "MAX_POOL_2D": _Lowering.pool,
    "ADD": _Lowering.add,
    "MUL": _Lowering.mul,
    "MAXIMUM": _Lowering.maximum,
    "GATHER": _Lowering.gather,
    "PAD": _Lowering.pad,
    "MEAN": _Lowering.mean,
    "RELU": _Lowering.lut,
    "RELU6": _Lowering.lut,
    "QUANTIZE": _Lowering.lut,
    "HARD_SWISH": _Lowering.lut,
    "LOGISTIC": _Lowering.lut,
    "SOFTMAX": _Lowering.softmax,
    "CONCATENATION": _Lowering.concat,
    "RESHAPE": _Lowering.reshape,
}
