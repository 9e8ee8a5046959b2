"""Kernels for Arm cores with Helium (Cortex-M55); other layers are left to the sets behind."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from vadgen.kernels import portable, requantize
from vadgen.kernels.base import Call, Kernel, Planes, call, folded_bias
from vadgen.kernels.groups import grouped
from vadgen.kernels.portable import fits, is_pointwise
from vadgen.lower import Add, Conv2d, DepthwiseConv2d, Lut, Mean, Mul, Pool, Program, Requant

_CHUNK = 16
"""Inputs that one instruction multiplies."""
_READS_PAST = _CHUNK - 1
_ROOM = 12 * 1024
"""Scratch for windows; a longer row is done in parts."""
_STEPS = (8, 16, 24, 32)
"""Bytes from pixel to pixel for which `vad_mve_planes.S` has loops."""
_FOUR, _EIGHT = 4, 8
_MOST_SIZE = 7
_MOST_SUMMED = 256
"""Bytes whose sum fits int16."""
_LINES = {3: 4, 5: 5, 7: 8}
"""Bytes of scratch for each column of a depthwise window's rows, by the window's size."""
_MOST_RIGHT = 31


def _is_relu(requant: Requant) -> bool:
    """Whether negative sums saturate: the requantization "relu" of `vad_mve.h`."""
    return requant.zero_point == -128


def _requantizes(layer: Conv2d | DepthwiseConv2d, program: Program) -> bool:
    """Whether the ways of `vad_mve.h` give every output of the layer."""
    requant = _settled(layer, program).requant
    right = -requant.shift
    limits = (requant.low, requant.high) == (-128, 127)
    return limits and bool(((right >= 1) & (right <= _MOST_RIGHT)).all())


def _settled(layer: requantize.WeightsT, program: Program) -> requantize.WeightsT:
    return requantize.settled(layer, program.values[layer.inputs[0]].zero_point)


def _finish(requant: Requant) -> str:
    return "relu" if _is_relu(requant) else "signed"


def _blocks(values: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    """Rows of `size`, the last filled with zeros."""
    return np.pad(values, (0, -len(values) % size)).reshape(-1, size)


def _words(data: NDArray[np.int8]) -> NDArray[np.int32]:
    """Bytes of each row as words, as the cores read them."""
    return np.ascontiguousarray(data.reshape(len(data), -1)).view("<i4").astype(np.int32)


# --- convolutions ---------------------------------------------------------------------------------


def _chunks(layer: Conv2d) -> int:
    taps: int = layer.weights[0].size
    return -(-taps // _CHUNK)


def _takes_conv2d(layer: Conv2d, program: Program) -> bool:
    return fits(layer, program) and _requantizes(layer, program)


def _writes_planes(layer: Conv2d, program: Program, planes: Planes) -> bool:
    return planes.item_bytes == 1


def _pixels(layer: Conv2d, program: Program, room: int) -> int:
    """Output pixels whose windows lie in scratch together: parts of a row of about one size."""
    width = program.values[layer.output].width
    parts = -(-width * _CHUNK * _chunks(layer) // room)
    return -(-width // parts)


def _conv2d(
    layer: Conv2d, program: Program, writes: Planes | None = None, room: int = _ROOM
) -> Call:
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    pointwise = is_pointwise(layer)
    chunks = _chunks(layer)
    pixels = out.width if pointwise else _pixels(layer, program, room)
    padding = layer.kernel_w * source.channels + _CHUNK
    plain = _settled(layer, program)
    step = source.channels if pointwise else _CHUNK * chunks
    paired = (
        writes is not None
        and _is_relu(plain.requant)
        and step in _STEPS
        and pixels == out.width >= _FOUR
        and out.channels % 2 == 0
    )
    layout = "planes" if writes else "rows"
    made = call(
        "vad_pointwise_mve" if pointwise else "vad_conv2d_mve",
        0 if pointwise else _CHUNK * (chunks * pixels + 1) + padding,
        "vad_conv2d_mve",
        stream=_stream(plain, source.zero_point, paired),
        dots=f"vad_mve_dots_{step if paired else f'{layout}_{_finish(plain.requant)}'}",
        in_width=source.width,
        in_channels=source.channels,
        out_width=out.width,
        out_channels=out.channels,
        chunks=chunks,
        pixels=pixels,
        planes=writes is not None,
        kernel_h=layer.kernel_h,
        kernel_w=layer.kernel_w,
        stride_w=layer.stride_w,
        pad_left=layer.pad_left,
        in_zero_point=source.zero_point,
        out_zero_point=plain.requant.zero_point,
    )
    return dataclasses.replace(made, reads_past=_READS_PAST)


def _stream(layer: Conv2d, zero_point: int, paired: bool) -> NDArray[np.int32]:
    """See vad_mve.h: fours of channels with their constants first, or pairs with them last."""
    size = 2 if paired else _FOUR
    taps = requantize.taps(layer)
    count = len(taps)
    filled = np.pad(taps, ((0, -count % size), (0, -taps.shape[1] % _CHUNK)))
    folded = folded_bias(layer.bias, taps, zero_point)
    constants = [folded, layer.requant.multiplier, layer.requant.shift.astype(np.int32)]
    blocks = np.stack([_blocks(values, size) for values in constants], axis=1)
    if paired:
        tail = blocks.transpose(0, 2, 1).reshape(len(blocks), -1)
        return np.concatenate([_words(filled.reshape(-1, size, filled.shape[1])), tail], axis=1)
    # (fours, 4, chunks, 16) -> (fours, chunks, 4, 16)
    turns = filled.reshape(-1, size, filled.shape[1] // _CHUNK, _CHUNK).transpose(0, 2, 1, 3)
    return np.concatenate([blocks.reshape(len(blocks), -1), _words(turns)], axis=1)


# --- depthwise ------------------------------------------------------------------------------------


def _size(layer: DepthwiseConv2d) -> int:
    """Of the loop's window, in whose corner the layer's lies."""
    return max(3, max(layer.kernel_h, layer.kernel_w) // 2 * 2 + 1)


def _takes_depthwise(layer: DepthwiseConv2d, program: Program) -> bool:
    return (
        max(layer.kernel_h, layer.kernel_w) <= _MOST_SIZE
        and layer.stride_w in (1, 2)
        and 7 * program.values[layer.output].channels < 1 << 16
        and fits(layer, program)
        and _requantizes(layer, program)
    )


def _planes(layer: DepthwiseConv2d, program: Program) -> Planes | None:
    """The planes that the layer reads faster."""
    if layer.depth_multiplier > 1:
        return None
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    spread = out.rows * layer.kernel_h * source.row_bytes
    return Planes(0, source.width, source.channels, 1, spread)


def _depthwise(layer: DepthwiseConv2d, program: Program, reads: Planes | None = None) -> Call:
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    plain, size = _settled(layer, program), _size(layer)
    folded = folded_bias(plain.bias, requantize.taps(plain), source.zero_point)
    tail = [folded, plain.requant.multiplier, plain.requant.shift.astype(np.int32)]
    words = _words(_columns(plain.weights, size))
    constants = np.concatenate([words, np.stack(tail, axis=1)], axis=1)
    pitch = -(-source.width // _CHUNK) * _CHUNK
    read = layer.stride_w * (-(-out.width // 8) * 8 - 1) + _CHUNK // 4 * (1 if size == 3 else 2)
    columns = max(layer.pad_left + max(pitch, source.width + 4), read)
    columns += -columns % _CHUNK
    scratch = _LINES[size] * columns + pitch
    made = call(
        "vad_depthwise_mve_planes" if reads else "vad_depthwise_mve_rows",
        scratch if reads else scratch + layer.kernel_h * pitch,
        "vad_depthwise_mve",
        constants=constants,
        row=f"vad_mve_depthwise_{size}_{layer.stride_w}_{_finish(plain.requant)}",
        in_width=source.width,
        in_channels=source.channels,
        out_width=out.width,
        depth_multiplier=layer.depth_multiplier,
        columns=columns,
        size=size,
        kernel_h=layer.kernel_h,
        pad_left=layer.pad_left,
        in_zero_point=source.zero_point,
        out_zero_point=plain.requant.zero_point,
    )
    return dataclasses.replace(made, reads_past=_READS_PAST if reads else 0)


def _columns(weights: NDArray[np.int8], size: int) -> NDArray[np.int8]:
    """Weights (KH, KW, C) as (C, 16) for 3x3, (C, 48), (C, 64): see vad_depthwise_mve.h."""
    height, width, channels = weights.shape
    filled = np.zeros((channels, 8, 8), np.int8)
    filled[:, :width, :height] = weights.transpose(2, 1, 0)  # (C, KW, KH)
    if size == 3:
        return filled[:, :4, :4]
    if size == 5:
        last = np.pad(filled[:, :, 4], ((0, 0), (0, 8))).reshape(-1, 4, 4)
        return np.concatenate([filled[:, :, :4], last], axis=1)
    return np.concatenate([filled[:, :, :4], filled[:, :, 4:]], axis=1)


# --- add ------------------------------------------------------------------------------------------


def _is_half(layer: Add, i: int) -> bool:
    return (layer.multipliers[i], layer.shifts[i]) == (1 << 30, 0)


def _takes_add(layer: Add, program: Program) -> bool:
    a = 0 if _is_half(layer, 1) else 1
    return (
        _is_half(layer, 1 - a)
        and (_is_half(layer, a) or -_MOST_RIGHT <= layer.shifts[a] <= -1)
        and -_MOST_RIGHT <= layer.shifts[2] <= -1
        and (layer.low, layer.high) == (-128, 127)
    )


def _add(layer: Add, program: Program) -> Call:
    a = 0 if _is_half(layer, 1) else 1
    made = call(
        "vad_add_mve",
        multiplier_a=layer.multipliers[a],
        multiplier=layer.multipliers[2],
        bytes=program.values[layer.output].row_bytes,
        a=a,
        same=_is_half(layer, a),
        shift_a=layer.shifts[a],
        shift=layer.shifts[2],
        zero_point_a=layer.zero_points[a],
        zero_point_b=layer.zero_points[1 - a],
        zero_point=layer.zero_points[2],
    )
    return dataclasses.replace(made, reads_past=_EIGHT - 1)


# --- the portable structs -------------------------------------------------------------------------


def _as(made: Call, header: str, reads_past: int) -> Call:
    """The call of a portable kernel by its twin for Helium, which `header` declares."""
    return dataclasses.replace(
        made, function=f"{made.function}_mve", header=f"{header}_mve.h", reads_past=reads_past
    )


def _takes_mul(layer: Mul, program: Program) -> bool:
    return -_MOST_RIGHT <= layer.shift <= -1 and fits(layer, program)


def _mul(layer: Mul, program: Program) -> Call:
    return _as(portable.mul(layer, program), "vad_mul", _EIGHT - 1)


def _takes_pool(layer: Pool, program: Program) -> bool:
    few = not layer.average or layer.kernel_h * layer.kernel_w <= _MOST_SUMMED
    return few and fits(layer, program)


def _pool(layer: Pool, program: Program) -> Call:
    return _as(portable.pool(layer, program), "vad_pool", 2 * _CHUNK - 1)


def _takes_mean(layer: Mean, program: Program) -> bool:
    return program.values[layer.inputs[0]].width <= _MOST_SUMMED and fits(layer, program)


def _mean(layer: Mean, program: Program) -> Call:
    return _as(portable.mean(layer, program), "vad_mean", _EIGHT - 1)


def _lut(layer: Lut, program: Program) -> Call:
    return _as(portable.lut(layer, program), "vad_lut", _READS_PAST)


_CONV2D = Kernel(Conv2d, _takes_conv2d, _conv2d, writes_planes=_writes_planes, takes_room=True)

KERNELS: tuple[Kernel, ...] = (
    _CONV2D,
    grouped(_CONV2D),
    Kernel(DepthwiseConv2d, _takes_depthwise, _depthwise, reads_planes=_planes),
    Kernel(Add, _takes_add, _add),
    Kernel(Mul, _takes_mul, _mul),
    Kernel(Pool, _takes_pool, _pool),
    Kernel(Mean, _takes_mean, _mean),
    Kernel(Lut, fits, _lut),
)
