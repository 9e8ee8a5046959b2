"""Kernels for Arm cores with the DSP extension (Cortex-M4, M7, M33); others stay portable."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vadgen.kernels.base import Call, Kernel, call, folded_bias
from vadgen.kernels.portable import is_pointwise
from vadgen.lower import Add, Conv2d, DepthwiseConv2d, Program, Requant

# vad_dsp_finish is exact for right shifts from 1 to 22 and accumulators below 2^30.
_MOST_RIGHT = 22
_ACC_BOUND = 1 << 30


def _saturates_only(low: int, high: int) -> bool:
    return (low, high) == (-128, 127)


def _exact(requant: Requant, bias: NDArray[np.int32], weights: NDArray[np.int8]) -> bool:
    """Whether the short requantization gives the same bits; weights: one row an output channel.

    An accumulator starts at the folded bias, whose partial sums stay below |bias| + 383 * sum|w|:
    255 for a centred input, 128 for the zero point that is still to be cancelled.
    """
    right = -requant.shift
    sums = np.abs(weights.astype(np.int64)).sum(axis=1)
    bound = int((np.abs(bias.astype(np.int64)) + 383 * sums).max())
    shifts = bool((right >= 1).all() and (right <= _MOST_RIGHT).all())
    return shifts and bound < _ACC_BOUND and _saturates_only(requant.low, requant.high)


def _channels(requant: Requant, bias: NDArray[np.int32]) -> NDArray[np.int32]:
    """`vad_dsp_channel_t` a channel: folded bias, multiplier, right shift minus 1."""
    return np.stack([bias, requant.multiplier, -requant.shift - 1], axis=1).astype(np.int32)


def _takes_pointwise(layer: Conv2d, program: Program) -> bool:
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    return (
        is_pointwise(layer)
        and source.channels % 4 == 0
        and out.channels % 2 == 0
        and max(out.width, source.channels, out.channels) < 1 << 16
        and _exact(layer.requant, layer.bias, layer.weights.reshape(len(layer.weights), -1))
    )


def _pointwise(layer: Conv2d, program: Program) -> Call:
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    return call(
        "vad_pointwise_dsp",
        scratch_bytes=4 * source.channels,
        weights=layer.weights,
        channels=_channels(
            layer.requant, folded_bias(layer.bias, layer.weights, source.zero_point)
        ),
        width=out.width,
        in_channels=source.channels,
        out_channels=out.channels,
        odd=2 * layer.requant.zero_point + 1,
    )


def _takes_conv2d(layer: Conv2d, program: Program) -> bool:
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    patch = layer.weights[0].size
    return (
        out.channels % 2 == 0
        and patch < (1 << 16) - 4
        and max(layer.kernel_h, layer.kernel_w, layer.stride_w, layer.pad_left) < 256
        and max(source.width, source.channels, out.width, out.channels) < 1 << 16
        and _exact(layer.requant, layer.bias, layer.weights.reshape(len(layer.weights), -1))
    )


def _conv2d(layer: Conv2d, program: Program) -> Call:
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    flat = layer.weights.reshape(len(layer.weights), -1)
    padded = np.pad(flat, ((0, 0), (0, -flat.shape[1] % 4)))
    return call(
        "vad_conv2d_dsp",
        scratch_bytes=6 * padded.shape[1],
        weights=padded,
        channels=_channels(
            layer.requant, folded_bias(layer.bias, layer.weights, source.zero_point)
        ),
        in_width=source.width,
        in_channels=source.channels,
        out_width=out.width,
        out_channels=out.channels,
        patch=padded.shape[1],
        kernel_h=layer.kernel_h,
        kernel_w=layer.kernel_w,
        stride_w=layer.stride_w,
        pad_left=layer.pad_left,
        in_zero_point=source.zero_point,
        odd=2 * layer.requant.zero_point + 1,
    )


def _takes_depthwise(layer: DepthwiseConv2d, program: Program) -> bool:
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    rows = layer.weights.reshape(-1, out.channels).T
    return (
        layer.depth_multiplier == 1
        and out.channels % 4 == 0
        and max(layer.kernel_h, layer.kernel_w, layer.stride_w, layer.pad_left) < 256
        and max(source.width, out.width, out.channels) < 1 << 16
        and _exact(layer.requant, layer.bias, rows)
    )


def _depthwise(layer: DepthwiseConv2d, program: Program) -> Call:
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    taps = layer.weights.reshape(-1, out.channels).astype(np.int16)
    taps = np.pad(taps, ((0, len(taps) % 2), (0, 0)))
    # (pairs, 2, groups, 4) -> (groups, pairs, 4 in the order 0, 2, 1, 3, 2)
    paired = taps.reshape(-1, 2, out.channels // 4, 4)[..., [0, 2, 1, 3]]
    n_taps = len(taps)
    return call(
        "vad_depthwise_dsp",
        scratch_bytes=4 * n_taps + layer.kernel_w * out.channels,
        weights=np.ascontiguousarray(paired.transpose(2, 0, 3, 1)),
        channels=_channels(
            layer.requant,
            folded_bias(
                layer.bias,
                np.ascontiguousarray(layer.weights.reshape(-1, out.channels).T),
                source.zero_point,
            ),
        ),
        in_width=source.width,
        n_channels=out.channels,
        out_width=out.width,
        kernel_h=layer.kernel_h,
        kernel_w=layer.kernel_w,
        stride_w=layer.stride_w,
        pad_left=layer.pad_left,
        in_zero_point=source.zero_point,
        odd=2 * layer.requant.zero_point + 1,
    )


def _takes_add(layer: Add, program: Program) -> bool:
    return _saturates_only(layer.low, layer.high) and 1 <= -layer.shifts[2] <= _MOST_RIGHT


def _add(layer: Add, program: Program) -> Call:
    return call(
        "vad_add_dsp",
        multiplier_a=layer.multipliers[0],
        multiplier_b=layer.multipliers[1],
        multiplier_out=layer.multipliers[2],
        bytes=program.values[layer.output].row_bytes,
        shift_out=-layer.shifts[2] - 1,
        right_a=-layer.shifts[0],
        right_b=-layer.shifts[1],
        zero_point_a=layer.zero_points[0],
        zero_point_b=layer.zero_points[1],
        odd=2 * layer.zero_points[2] + 1,
    )


KERNELS: tuple[Kernel, ...] = (
    Kernel(Conv2d, _takes_pointwise, _pointwise),
    Kernel(Conv2d, _takes_conv2d, _conv2d),
    Kernel(DepthwiseConv2d, _takes_depthwise, _depthwise),
    Kernel(Add, _takes_add, _add),
)
