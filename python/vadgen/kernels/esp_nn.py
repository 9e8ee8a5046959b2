"""Kernels that call Espressif's ESP-NN, for boards whose firmware is linked with it.

Built without its short cut (`CONFIG_NN_SKIP_NUDGE`), its requantization is that of
`fixed.requantize` as long as no sum comes near 32 bits. Left to the sets behind: MUL by channel;
depthwise convolutions that multiply channels, or whose channels do not fill vectors, for which the
ESP32-S3 copies its tables onto the stack; layers for which it wants more than `_ROOM`; pooling,
which the portable kernels do as well.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from vadgen.kernels import portable, vendor
from vadgen.kernels.base import Array, Call, Kernel, call
from vadgen.kernels.vendor import Image
from vadgen.lower import Add, Conv2d, DepthwiseConv2d, Mul, Program

_SUMS = 1 << 30
"""Its rounding right shift adds up to 2^29 in 32 bits."""
_ALIGNMENT = 16
_ROOM = 16 * 1024
"""The most that the library may want for a layer, in bytes."""
_MARGIN = 64


def _round_up(size: int, to: int = _ALIGNMENT) -> int:
    return -(-size // to) * to


def _aligned(members: dict[str, Any]) -> dict[str, Any]:
    """The members of a struct, with tables where vectors find them."""
    return {
        name: Array(value, _ALIGNMENT) if isinstance(value, np.ndarray) else value
        for name, value in members.items()
    }


def _width(out_width: int, stride_w: int, kernel_w: int) -> int:
    """Of an image in which the ESP32-S3 finds all columns that it reads: it makes no copy then."""
    return out_width * stride_w + kernel_w - 1


def _rows(image_width: int, channels: int, pad_left: int, in_width: int) -> dict[str, Any]:
    """How the window's rows make the image; columns that no window wants are left out."""
    return {
        "left_bytes": pad_left * channels,
        "row_bytes": min(in_width, image_width - pad_left) * channels,
        "pitch": image_width * channels,
    }


def _conv2d_buffer(image: Image, out_width: int, out_channels: int) -> int:
    """What the library says it wants on the ESP32-S3, the most of all chips."""
    wide = image.kernel_w * image.channels
    if (image.kernel_h, image.kernel_w, image.stride_w) == (1, 1, 1):
        channels = _round_up(image.channels, 8)
        size = (out_width + out_channels + 16) * channels
    elif wide < _ALIGNMENT <= image.taps:
        size = (out_channels + 1) * _round_up(image.taps) + 4 * out_channels + 2 * _ALIGNMENT
    else:
        padded = image.kernel_h * image.kernel_w * _round_up(image.channels)
        size = (padded + _round_up(wide) * image.kernel_h + 4) * out_channels
    return _round_up(size + _MARGIN)


def _takes_conv2d(layer: Conv2d, program: Program) -> bool:
    image, out = Image.of(layer, program), program.values[layer.output]
    return (
        image.taps < 1 << 16
        and _width(out.width, image.stride_w, image.kernel_w) < 1 << 16
        and _conv2d_buffer(image, out.width, out.channels) <= _ROOM
        and portable.fits(layer, program)
        and vendor.same_sums(layer, program, _SUMS)
    )


def _conv2d(layer: Conv2d, program: Program) -> Call:
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    image = Image.of(layer, program)
    buffer = _conv2d_buffer(image, out.width, out.channels)
    if image.height == layer.kernel_h:
        width = _width(out.width, image.stride_w, image.kernel_w)
        rows = _rows(width, image.channels, image.pad_left, source.width)
    else:
        width = 1
        rows = {"left_bytes": 0, "row_bytes": source.row_bytes, "pitch": source.row_bytes}
    return call(
        "vad_esp_nn_conv2d",
        _ALIGNMENT + buffer + _round_up(layer.kernel_h * rows["pitch"]) + out.width * out.channels,
        **_aligned(vendor.conv2d(layer, image, program, buffer, width)),
        **rows,
    )


def _depthwise_buffer(layer: DepthwiseConv2d, program: Program) -> int:
    """As `_conv2d_buffer`: weights, and where the kernel is not 3x3 all of the image as int16."""
    out = program.values[layer.output]
    weights = layer.kernel_h * layer.kernel_w * out.channels
    if (layer.kernel_h, layer.kernel_w) == (3, 3):
        return _round_up(weights + _MARGIN)
    image = layer.kernel_h * _width(out.width, layer.stride_w, layer.kernel_w) * out.channels
    return _round_up(2 * (weights + image) + _MARGIN)


def _takes_depthwise(layer: DepthwiseConv2d, program: Program) -> bool:
    out = program.values[layer.output]
    return (
        layer.depth_multiplier == 1
        and out.channels % _ALIGNMENT == 0
        and _width(out.width, layer.stride_w, layer.kernel_w) < 1 << 16
        and _depthwise_buffer(layer, program) <= _ROOM
        and portable.fits(layer, program)
        and vendor.same_sums(layer, program, _SUMS)
    )


def _depthwise(layer: DepthwiseConv2d, program: Program) -> Call:
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    buffer = _depthwise_buffer(layer, program)
    width = _width(out.width, layer.stride_w, layer.kernel_w)
    rows = _rows(width, out.channels, layer.pad_left, source.width)
    return call(
        "vad_esp_nn_depthwise_conv2d",
        _ALIGNMENT + buffer + _round_up(layer.kernel_h * rows["pitch"]) + out.row_bytes,
        **_aligned(vendor.depthwise(layer, program, buffer, width)),
        **rows,
    )


def _elementwise(made: Call, function: str, program: Program, output: int) -> Call:
    """The call of a portable kernel through the library: copies of two inputs and the output."""
    row_bytes = program.values[output].row_bytes
    return replace(
        made,
        function=function,
        header=f"{function}.h",
        scratch_bytes=_ALIGNMENT + 3 * _round_up(row_bytes),
    )


def _add(layer: Add, program: Program) -> Call:
    return _elementwise(portable.add(layer, program), "vad_esp_nn_add", program, layer.output)


def _mul(layer: Mul, program: Program) -> Call:
    return _elementwise(portable.mul(layer, program), "vad_esp_nn_mul", program, layer.output)


KERNELS: tuple[Kernel, ...] = (
    Kernel(Conv2d, _takes_conv2d, _conv2d),
    Kernel(DepthwiseConv2d, _takes_depthwise, _depthwise),
    Kernel(Add, vendor.same_add, _add),
    Kernel(Mul, vendor.same_mul, _mul),
)
