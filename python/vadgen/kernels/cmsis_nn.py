"""Kernels that call Arm's CMSIS-NN, for boards whose firmware is linked with it.

Its requantization, built for two roundings, is that of `fixed.requantize` as long as nothing leaves
32 bits. Left to the sets behind: MUL by channel and depthwise convolutions that multiply channels,
for which it has no fast loop; kernels of one row and several columns, of whose padding its Helium
loops want more than a row's call can say; and every layer that the portable kernels do by a table.
"""

from __future__ import annotations

from dataclasses import replace

from vadgen.kernels import portable, vendor
from vadgen.kernels.base import Call, Kernel, call
from vadgen.kernels.vendor import Image
from vadgen.lower import Add, Conv2d, DepthwiseConv2d, Mul, Pool, Program

_SUMS = (1 << 31) - 128
_MOST_TAPS = 1 << 16
_MVE_CHANNELS = 124
"""Channels of a depthwise convolution that it takes at once on cores with Helium."""


def _round_up(size: int, to: int) -> int:
    return -(-size // to) * to


def _takes_conv2d(layer: Conv2d, program: Program) -> bool:
    image = Image.of(layer, program)
    return (
        (image.kernel_h > 1 or image.kernel_w == 1)
        and image.taps < _MOST_TAPS
        and portable.fits(layer, program)
        and vendor.same_sums(layer, program, _SUMS)
    )


def _conv2d(layer: Conv2d, program: Program) -> Call:
    source, image = program.values[layer.inputs[0]], Image.of(layer, program)
    # Its documented needs: two windows of int16 (DSP), four of int8 in whole vectors (Helium).
    pointwise = (image.kernel_h, image.kernel_w) == (1, 1)
    buffer = _round_up(4 * _round_up(image.taps, 4 if pointwise else 16), 8)
    return call(
        "vad_cmsis_nn_conv2d",
        buffer + (layer.kernel_h * source.row_bytes if layer.kernel_h > 1 else 0),
        **vendor.conv2d(layer, image, program, buffer, image.width),
        row_bytes=source.row_bytes,
        pad_left=image.pad_left,
    )


def _takes_depthwise(layer: DepthwiseConv2d, program: Program) -> bool:
    return (
        layer.depth_multiplier == 1
        and portable.fits(layer, program)
        and vendor.same_sums(layer, program, _SUMS)
    )


def _depthwise(layer: DepthwiseConv2d, program: Program) -> Call:
    source = program.values[layer.inputs[0]]
    # Its documented needs: a window of int16 (DSP), four of some channels of int8 (Helium).
    window = layer.kernel_h * layer.kernel_w
    buffer = _round_up(max(2 * window * source.channels, 4 * window * _MVE_CHANNELS), 8)
    return call(
        "vad_cmsis_nn_depthwise_conv2d",
        buffer + layer.kernel_h * source.row_bytes,
        **vendor.depthwise(layer, program, buffer, source.width),
        row_bytes=source.row_bytes,
        pad_left=layer.pad_left,
    )


def _add(layer: Add, program: Program) -> Call:
    return replace(
        portable.add(layer, program), function="vad_cmsis_nn_add", header="vad_cmsis_nn_add.h"
    )


def _mul(layer: Mul, program: Program) -> Call:
    return replace(
        portable.mul(layer, program), function="vad_cmsis_nn_mul", header="vad_cmsis_nn_mul.h"
    )


def _pool(layer: Pool, program: Program) -> Call:
    """Its averages want a word a channel on cores with the DSP extension."""
    source = program.values[layer.inputs[0]]
    return replace(
        portable.pool(layer, program),
        function=f"vad_cmsis_nn_{'average' if layer.average else 'max'}_pool",
        header="vad_cmsis_nn_pool.h",
        scratch_bytes=4 * source.channels + layer.kernel_h * source.row_bytes,
    )


KERNELS: tuple[Kernel, ...] = (
    Kernel(Conv2d, _takes_conv2d, _conv2d),
    Kernel(DepthwiseConv2d, _takes_depthwise, _depthwise),
    Kernel(Add, vendor.same_add, _add),
    Kernel(Mul, vendor.same_mul, _mul),
    Kernel(Pool, portable.fits, _pool),
)
