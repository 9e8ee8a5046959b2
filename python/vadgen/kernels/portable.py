"""Portable C11 kernels: they take every layer of a size that fits their parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadgen.kernels.base import Call, Kernel, call, folded_bias
from vadgen.kernels.requantize import Sums, settled
from vadgen.lower import (
    Add,
    Concat,
    Conv2d,
    Copy,
    DepthwiseConv2d,
    Gather,
    GroupConv2d,
    Layer,
    Lut,
    Maximum,
    Mean,
    Mul,
    Pad,
    Pool,
    Program,
    Softmax,
    Window,
)

_SOFTMAX_CHANNELS = 4095


def fits(layer: Layer, program: Program) -> bool:
    """Whether every size fits the 16-bit (strides and pads: 8-bit) members of the C structs."""
    values = [program.values[i] for i in (*layer.inputs, layer.output)]
    sizes = [n for v in values for n in (v.rows, v.width, v.channels)]
    small = [0]
    if isinstance(layer, Window):
        sizes += [layer.kernel_h, layer.kernel_w]
        small = [layer.stride_w, layer.pad_left]
    if isinstance(layer, DepthwiseConv2d):
        small += [layer.kernel_h, layer.kernel_w]
    if isinstance(layer, Softmax):
        return max(sizes) <= _SOFTMAX_CHANNELS
    return max(sizes) < 1 << 16 and max(small) < 1 << 8


def is_pointwise(layer: Conv2d) -> bool:
    """Whether the layer is a 1x1 convolution with stride 1."""
    return (layer.kernel_h, layer.kernel_w, layer.stride_h, layer.stride_w) == (1, 1, 1, 1)


def takes_upper(layer: Conv2d | DepthwiseConv2d, zero_point: int) -> bool:
    """Whether vad_requantize_upper takes every sum of the layer, and clamping is saturation.

    Args:
        layer: the integer layer.
        zero_point: of its input.
    """
    right, sums = -layer.requant.shift, Sums.of(layer, zero_point)
    limits = (layer.requant.low, layer.requant.high) == (-128, 127)
    least, greatest = int(sums.low.min()), int(sums.high.max())
    fits = -(1 << 29) < least and greatest < 1 << 29
    return limits and fits and bool(((right >= 1) & (right <= 21)).all())


def _constants(
    layer: Conv2d | GroupConv2d | DepthwiseConv2d, weights: NDArray[np.int8], zero_point: int
) -> dict[str, Any]:
    """The tables of all convolutions; weights: output channels first."""
    return {
        "weights": weights,
        "bias": folded_bias(layer.bias, weights, zero_point),
        "multiplier": layer.requant.multiplier,
        "shift": layer.requant.shift.astype(np.int8),
    }


def _pointwise(layer: Conv2d, program: Program) -> Call:
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    layer = settled(layer, source.zero_point)
    return call(
        "vad_pointwise",
        **_constants(layer, layer.weights, source.zero_point),
        width=out.width,
        in_channels=source.channels,
        out_channels=out.channels,
        out_zero_point=layer.requant.zero_point,
        low=layer.requant.low,
        high=layer.requant.high,
        upper=takes_upper(layer, source.zero_point),
    )


def _convolution(
    layer: Conv2d | GroupConv2d | DepthwiseConv2d,
    program: Program,
    weights: NDArray[np.int8],
    **sizes: int,
) -> dict[str, Any]:
    """Members that the structs of all convolutions with a window share, in their order.

    Args:
        layer: the integer layer.
        program: its program.
        weights: output channels first.
        sizes: what a struct has between the widths and the window.
    """
    source, requant = program.values[layer.inputs[0]], layer.requant
    return {
        **_constants(layer, weights, source.zero_point),
        "in_width": source.width,
        "in_channels": source.channels,
        "out_width": program.values[layer.output].width,
        **sizes,
        "kernel_h": layer.kernel_h,
        "kernel_w": layer.kernel_w,
        "stride_w": layer.stride_w,
        "pad_left": layer.pad_left,
        "in_zero_point": source.zero_point,
        "out_zero_point": requant.zero_point,
        "low": requant.low,
        "high": requant.high,
    }


def _conv2d(layer: Conv2d, program: Program) -> Call:
    zero_point = program.values[layer.inputs[0]].zero_point
    layer = settled(layer, zero_point)
    channels = program.values[layer.output].channels
    fields = _convolution(layer, program, layer.weights, out_channels=channels)
    return call("vad_conv2d", **fields, upper=takes_upper(layer, zero_point))


def group_conv2d(layer: GroupConv2d, program: Program) -> Call:
    """The call of `vad_group_conv2d`; see `mul`."""
    channels = program.values[layer.output].channels
    sizes = {"out_channels": channels, "groups": layer.groups}
    return call("vad_group_conv2d", **_convolution(layer, program, layer.weights, **sizes))


def _depthwise(layer: DepthwiseConv2d, program: Program) -> Call:
    zero_point = program.values[layer.inputs[0]].zero_point
    layer = settled(layer, zero_point)
    weights = np.moveaxis(layer.weights, 2, 0)
    fields = _convolution(layer, program, weights, depth_multiplier=layer.depth_multiplier)
    return call("vad_depthwise_conv2d", **fields, upper=takes_upper(layer, zero_point))


def add(layer: Add, program: Program) -> Call:
    """The call of `vad_add`; other sets that share its struct take it over."""
    return call(
        "vad_add",
        multiplier_a=layer.multipliers[0],
        multiplier_b=layer.multipliers[1],
        multiplier_out=layer.multipliers[2],
        bytes=program.values[layer.output].row_bytes,
        shift_a=layer.shifts[0],
        shift_b=layer.shifts[1],
        shift_out=layer.shifts[2],
        zero_point_a=layer.zero_points[0],
        zero_point_b=layer.zero_points[1],
        zero_point_out=layer.zero_points[2],
        low=layer.low,
        high=layer.high,
    )


def mul(layer: Mul, program: Program) -> Call:
    """The call of `vad_mul`; other sets that share its struct take it over."""
    out = program.values[layer.output]
    return call(
        "vad_mul",
        multiplier=layer.multiplier,
        bytes=out.row_bytes,
        period=out.channels if layer.by_channel else out.row_bytes,
        shift=layer.shift,
        zero_point_a=layer.zero_points[0],
        zero_point_b=layer.zero_points[1],
        zero_point_out=layer.zero_points[2],
        low=layer.low,
        high=layer.high,
    )


def _maximum(layer: Maximum, program: Program) -> Call:
    return call("vad_maximum", bytes=program.values[layer.output].row_bytes)


def _gather(layer: Gather, program: Program) -> Call:
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    return call(
        "vad_gather",
        channels=layer.channels.astype(np.uint16),
        width=out.width,
        in_channels=source.channels,
        out_channels=out.channels,
    )


def _pad(layer: Pad, program: Program) -> Call:
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    return call(
        "vad_pad",
        in_width=source.width,
        in_channels=source.channels,
        out_width=out.width,
        out_channels=out.channels,
        left=layer.left,
        channels_before=layer.channels_before,
        zero_point=layer.zero_point,
    )


def pool(layer: Pool, program: Program) -> Call:
    """The call of `vad_average_pool` or `vad_max_pool`; see `mul`."""
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    return call(
        "vad_average_pool" if layer.average else "vad_max_pool",
        stem="vad_pool",
        in_width=source.width,
        channels=source.channels,
        out_width=out.width,
        kernel_h=layer.kernel_h,
        kernel_w=layer.kernel_w,
        stride_w=layer.stride_w,
        pad_left=layer.pad_left,
        low=layer.low,
        high=layer.high,
    )


def mean(layer: Mean, program: Program) -> Call:
    """The call of `vad_mean`; see `mul`."""
    source = program.values[layer.inputs[0]]
    return call(
        "vad_mean",
        multiplier=layer.multiplier,
        height=source.rows,
        width=source.width,
        channels=source.channels,
        shift=layer.shift,
        in_zero_point=layer.in_zero_point,
        out_zero_point=layer.zero_point,
    )


def lut(layer: Lut, program: Program) -> Call:
    """The call of `vad_lut`; see `mul`."""
    return call("vad_lut", table=layer.table, bytes=program.values[layer.output].row_bytes)


def _softmax(layer: Softmax, program: Program) -> Call:
    out = program.values[layer.output]
    return call("vad_softmax", exp_table=layer.exp_table, width=out.width, channels=out.channels)


def _concat(layer: Concat, program: Program) -> Call:
    channels = np.array([program.values[i].channels for i in layer.inputs], dtype=np.uint16)
    return call(
        "vad_concat",
        channels=channels,
        n_inputs=len(layer.inputs),
        width=program.values[layer.output].width,
    )


def _copy(layer: Copy, program: Program) -> Call:
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    joins = layer.rows_out == 1
    return call(
        "vad_copy",
        row_bytes=source.row_bytes if joins else out.row_bytes,
        n_rows=source.rows if joins else 1,
    )


KERNELS: tuple[Kernel, ...] = (
    Kernel(Conv2d, lambda la, p: is_pointwise(la) and fits(la, p), _pointwise),
    Kernel(Conv2d, fits, _conv2d),
    Kernel(GroupConv2d, fits, group_conv2d),
    Kernel(DepthwiseConv2d, fits, _depthwise),
    Kernel(Add, fits, add),
    Kernel(Mul, fits, mul),
    Kernel(Maximum, fits, _maximum),
    Kernel(Gather, fits, _gather),
    Kernel(Pad, fits, _pad),
    Kernel(Pool, fits, pool),
    Kernel(Mean, fits, mean),
    Kernel(Lut, fits, lut),
    Kernel(Softmax, fits, _softmax),
    Kernel(Concat, fits, _concat),
    Kernel(Copy, fits, _copy),
)
