"""Kernels for Arm cores with the DSP extension (Cortex-M4, M7, M33); others stay portable."""

from __future__ import annotations

from dataclasses import fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vadgen.kernels import requantize
from vadgen.kernels.base import Call, Compact, Kernel, Planes, call
from vadgen.kernels.groups import grouped
from vadgen.kernels.portable import is_pointwise
from vadgen.kernels.requantize import Channels, Sums
from vadgen.lower import Add, Conv2d, DepthwiseConv2d, Program

_ROOM = 12 * 1024
"""Scratch for pixels as int16; a longer row is done in parts, each of which widens all weights."""
_UNROLLED = {"planes": (2, 4, 6, 7, 8), "rows": (2, 4, 6, 8), "signed": ()}


@lru_cache(maxsize=256)
def _found(layer: Conv2d | DepthwiseConv2d, zero_point: int) -> tuple[Channels, bool] | None:
    """Constants of the output channels and whether they are those of the short way."""
    plain = requantize.settled(layer, zero_point)
    sums = Sums.of(plain, zero_point)
    short = requantize.short(sums, plain.requant)
    if short is not None:
        return short, True
    signed = requantize.signed(sums, plain.requant)
    return None if signed is None else (signed, False)


def _channels(layer: Conv2d | DepthwiseConv2d, program: Program) -> tuple[Channels, bool] | None:
    return _found(layer, program.values[layer.inputs[0]].zero_point)


def _wrap(values: NDArray[np.int64]) -> NDArray[np.int32]:
    return values.astype(np.uint32).view(np.int32)


def _uncentred(channels: Channels, short: bool, zero_point: int) -> NDArray[np.int64]:
    """The bias for inputs that still hold their zero point; its sum may wrap, as the sums do."""
    zeros: NDArray[np.int64] = zero_point * channels.weights.sum(axis=1)
    if short:
        zeros <<= channels.shift
    return channels.bias - zeros


# --- convolutions ---------------------------------------------------------------------------------


def _quads(layer: Conv2d) -> int:
    taps: int = layer.weights[0].size
    return -(-taps // 4)


def _order(layer: Conv2d) -> NDArray[np.intp]:
    """Weights in the order of the stream: whole fours of each kernel row, then what is left."""
    line = layer.weights[0, 0].size
    taps = np.arange(layer.weights[0].size).reshape(-1, line)
    whole = line - line % 4
    return np.concatenate([taps[:, :whole].reshape(-1), taps[:, whole:].reshape(-1)])


def _pixels(layer: Conv2d, program: Program, room: int) -> int:
    """Output pixels at a time: parts of a row of about the same size."""
    width = program.values[layer.output].width
    parts = -(-width * 8 * _quads(layer) // room)
    pixels = -(-width // parts)
    return pixels + pixels % 2


def _takes_conv2d(layer: Conv2d, program: Program) -> bool:
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    return (
        out.channels >= 2
        and 16 * _quads(layer) <= _ROOM
        and max(layer.kernel_h, layer.kernel_w, layer.stride_w, layer.pad_left) < 256
        and max(source.width, source.channels, out.width, out.channels) < 1 << 16
        and _channels(layer, program) is not None
    )


def _takes_pointwise(layer: Conv2d, program: Program) -> bool:
    in_channels = program.values[layer.inputs[0]].channels
    return is_pointwise(layer) and in_channels % 4 == 0 and _takes_conv2d(layer, program)


def _writes_planes(layer: Conv2d, program: Program, planes: Planes) -> bool:
    found = _channels(layer, program)
    return planes.item_bytes == 2 and found is not None and found[1]


def _conv2d(
    layer: Conv2d, program: Program, writes: Planes | None = None, room: int = _ROOM
) -> Call:
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    found = _channels(layer, program)
    assert found is not None
    channels, short = found
    pointwise = _takes_pointwise(layer, program)
    quads, pixels = _quads(layer), _pixels(layer, program, room)
    patch = (layer.kernel_h + 1) * layer.kernel_w * source.channels
    finish = "planes" if writes else "rows" if short else "signed"
    variant = quads if quads in _UNROLLED[finish] else "any"
    stream = _stream(_paired(channels), short, source.zero_point, _order(layer), writes)
    return call(
        "vad_pointwise_dsp" if pointwise else "vad_conv2d_dsp",
        8 * quads * pixels + 16 + 16 * quads + (0 if pointwise else 4 * layer.kernel_h + patch),
        "vad_conv2d_dsp",
        stream=stream,
        dots=f"vad_dsp_dots_{variant}_{finish}",
        in_width=source.width,
        in_channels=source.channels,
        out_width=out.width,
        out_channels=out.channels,
        pair=stream.shape[1],
        quads=quads,
        pixels=pixels,
        plane=writes.plane if writes else 0,
        left=writes.left if writes else 0,
        kernel_h=layer.kernel_h,
        kernel_w=layer.kernel_w,
        stride_w=layer.stride_w,
        pad_left=layer.pad_left,
        in_zero_point=source.zero_point,
    )


def _paired(channels: Channels) -> Channels:
    """An odd channel at the end comes with a copy of the one before it."""
    count = len(channels.bias)
    order = np.arange(count) if count % 2 == 0 else np.r_[: count - 1, count - 2, count - 1]
    values = (getattr(channels, field.name)[order] for field in fields(Channels))
    return Channels(*values)


def _stream(
    channels: Channels,
    short: bool,
    zero_point: int,
    order: NDArray[np.intp],
    writes: Planes | None,
) -> NDArray[np.int32]:
    """See vad_conv2d_dsp.h; order: of the weights."""
    quads = -(-len(order) // 4)
    pairs = len(channels.bias) // 2
    multipliers, biases = channels.multiplier, _uncentred(channels, short, zero_point)
    # Planes hold outputs less their zero point, -128.
    constants = channels.constant + (128 << requantize.SHORT_SHIFT if writes else 0)
    if short:
        head = [_pairs(multipliers), _packed(constants, 16)]
    else:
        head = [_pairs(np.stack([multipliers, constants], axis=1))]
    head += [_packed(channels.shift, 8), _pairs(biases)]
    weights = np.pad(
        channels.weights[:, order], ((0, 0), (0, 4 * quads - channels.weights.shape[1]))
    )
    # (pairs, 2, quads, 4) -> (pairs, quads, 2, 4) bytes, a word for each four.
    turns = weights.reshape(pairs, 2, quads, 4).transpose(0, 2, 1, 3)
    stored = np.ascontiguousarray((turns + 128 if short else turns).astype(np.uint8))
    words = stored.reshape(pairs, -1).view(np.int32)
    return np.concatenate([_wrap(np.concatenate(head, axis=1)), words], axis=1)


def _pairs(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """A row for each two channels."""
    return values.reshape(len(values) // 2, -1)


def _packed(values: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Two channels' values in a word."""
    low, high = (values & ((1 << bits) - 1)).reshape(-1, 2).T
    return (low | high << bits)[:, None]


# --- depthwise ------------------------------------------------------------------------------------


def _takes_depthwise(layer: DepthwiseConv2d, program: Program) -> bool:
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    return (
        layer.depth_multiplier == 1
        and layer.kernel_h == layer.kernel_w
        and layer.kernel_h in (3, 5, 7)
        and layer.stride_w in (1, 2)
        and max(source.width, out.width) < 1 << 15
        and 4 <= out.channels < 1 << 16
        and _channels(layer, program) is not None
    )


def _planes(layer: DepthwiseConv2d, program: Program) -> Planes:
    """The planes that the layer reads fastest."""
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    read = layer.stride_w * (out.width + out.width % 2 - 1) + layer.kernel_w
    plane = max(layer.pad_left + source.width, read)
    spread = out.rows * layer.kernel_h * source.row_bytes
    return Planes(layer.pad_left, plane + plane % 2, source.channels, 2, spread * 9 // 4)


def _compact_depthwise(layer: DepthwiseConv2d, program: Program) -> Compact:
    """Weights as bytes in place of pairs of int16, most of which are there twice."""
    out, size = program.values[layer.output], layer.kernel_h
    saves = 4 * size * (size - 1) - size * size - 1
    return Compact(out.channels * saves, out.rows * out.channels * (5 * size * size + 40))


def _depthwise(
    layer: DepthwiseConv2d, program: Program, reads: Planes | None = None, compact: bool = False
) -> Call:
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    found = _channels(layer, program)
    assert found is not None
    channels, short = found
    plane, size = _planes(layer, program).plane, layer.kernel_h
    bias = channels.bias if reads else _uncentred(channels, short, source.zero_point)
    tail = [bias, channels.multiplier, channels.constant, *([] if short else [channels.shift])]
    constants, shift = (
        _wrap(np.stack(tail, axis=1)),
        channels.shift if short else 0 * channels.shift,
    )
    weights: dict[str, NDArray[np.int8] | str] = {"weights": "NULL"}
    if compact:
        bytes_ = np.concatenate([channels.weights, shift[:, None]], axis=1)
        weights = {"weights": bytes_.astype(np.int8)}
    else:
        rows = (channels.weights << shift[:, None]).reshape(-1, size, size)
        pairs = np.stack([rows[:, :, :-1], rows[:, :, 1:]], axis=3).astype(np.int16)
        words = np.ascontiguousarray(pairs).reshape(len(bias), -1).view(np.int32)
        constants = np.concatenate([words, constants], axis=1)
    return call(
        "vad_depthwise_dsp_planes" if reads else "vad_depthwise_dsp_rows",
        2 * plane if reads else 8 * size * plane,
        "vad_depthwise_dsp",
        constants=constants,
        **weights,
        row=f"vad_dsp_depthwise_{size}_{layer.stride_w}_{'short' if short else 'signed'}",
        in_width=source.width,
        channels=out.channels,
        out_width=out.width,
        plane=plane,
        channel=size * (size - 1) + len(tail),
        size=size,
        stride=layer.stride_w,
        pad_left=layer.pad_left,
        in_zero_point=source.zero_point,
    )


# --- add ------------------------------------------------------------------------------------------


def _add_order(layer: Add) -> int:
    """Which input is not known to be scaled by exactly 1/2."""
    return 0 if (layer.multipliers[1], layer.shifts[1]) == (1 << 30, 0) else 1


def _takes_add(layer: Add, program: Program) -> bool:
    a, right = _add_order(layer), -layer.shifts[2]
    return (
        (layer.multipliers[1 - a], layer.shifts[1 - a]) == (1 << 30, 0)
        and (layer.multipliers[a] == 1 << 30 or layer.shifts[a] < 0)
        and layer.shifts[a] >= -4
        and 1 <= right <= 22
        and (layer.low, layer.high) == (-128, 127)
    )


def _add(layer: Add, program: Program) -> Call:
    a, right = _add_order(layer), -layer.shifts[2]
    same = layer.shifts[a] == 0
    right_a = 1 if same else -layer.shifts[a]
    return call(
        "vad_add_dsp",
        multiplier_a=layer.multipliers[a],
        constant_a=(1 << (right_a - 1)) - (layer.zero_points[1 - a] << (19 + right_a)),
        multiplier=layer.multipliers[2],
        constant=(1 << (right - 1)) + (layer.zero_points[2] << right),
        bytes=program.values[layer.output].row_bytes,
        a=a,
        same=same,
        right_a=right_a,
        right=right,
        zero_point_a=layer.zero_points[a],
    )


_CONV2D = Kernel(Conv2d, _takes_conv2d, _conv2d, writes_planes=_writes_planes, takes_room=True)

KERNELS: tuple[Kernel, ...] = (
    _CONV2D,
    grouped(_CONV2D),
    Kernel(
        DepthwiseConv2d,
        _takes_depthwise,
        _depthwise,
        reads_planes=_planes,
        compact=_compact_depthwise,
    ),
    Kernel(Add, _takes_add, _add),
)
