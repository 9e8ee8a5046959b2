"""Kernels for the computer that builds: eight channels at a time in the compiler's vector types.

Weights lie in panels of eight output channels, so that one vector holds the int16 pair that each
of the eight takes next; the last panel is filled up with zeros.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vadgen.kernels import portable
from vadgen.kernels.base import Call, Kernel, call, folded_bias
from vadgen.lower import Add, Conv2d, DepthwiseConv2d, Program

_LANES = 8
_PIXELS = 4
"""Output pixels that a convolution makes at once; it reads its input as if all existed."""
_DEPTHWISE_TAPS = 32

ScalarT = TypeVar("ScalarT", bound=np.generic)


def _filled(data: NDArray[ScalarT], axis: int, to: int) -> NDArray[ScalarT]:
    """Zeros behind the axis up to a multiple of `to`."""
    pads = [(0, 0)] * data.ndim
    pads[axis] = (0, -data.shape[axis] % to)
    return np.pad(data, pads)


def _windowed(
    function: str,
    layer: Conv2d | DepthwiseConv2d,
    program: Program,
    weights: NDArray[Any],
    by_channel: NDArray[np.int8],
    scratch_bytes: int,
    **sizes: int,
) -> Call:
    """What both convolutions have in common; tables by channel fill whole panels.

    Args:
        function: the C function.
        layer: the integer layer.
        program: its program.
        weights: as the kernel reads them.
        by_channel: the weights, int8 (channels, ...), for their sums.
        scratch_bytes: what the kernel needs while it runs.
        sizes: the struct's other members.
    """
    source, requant = program.values[layer.inputs[0]], layer.requant
    bias = folded_bias(layer.bias, by_channel, source.zero_point)
    return call(
        function,
        scratch_bytes=scratch_bytes,
        stem=function,
        weights=weights,
        bias=_filled(bias, 0, _LANES),
        multiplier=_filled(requant.multiplier, 0, _LANES),
        shift=_filled(requant.shift.astype(np.int8), 0, _LANES),
        in_width=source.width,
        out_width=program.values[layer.output].width,
        kernel_h=layer.kernel_h,
        stride_w=layer.stride_w,
        pad_left=layer.pad_left,
        in_zero_point=source.zero_point,
        out_zero_point=requant.zero_point,
        low=requant.low,
        high=requant.high,
        **sizes,
    )


def _conv2d(layer: Conv2d, program: Program) -> Call:
    """Weights (O, KH, KW, I) as [panel][KH][pair of (KW, I)][8][2]; rows widened in scratch."""
    source, out = program.values[layer.inputs[0]], program.values[layer.output]
    rows = _filled(layer.weights.reshape(out.channels, layer.kernel_h, -1), 2, 2)
    panels = _filled(rows, 0, _LANES).reshape(-1, _LANES, layer.kernel_h, rows.shape[2] // 2, 2)
    columns = (-(-out.width // _PIXELS) * _PIXELS - 1) * layer.stride_w + layer.kernel_w
    pitch = columns * source.channels + 1
    return _windowed(
        "vad_host_conv2d",
        layer,
        program,
        panels.transpose(0, 2, 3, 1, 4),
        layer.weights,
        scratch_bytes=2 * layer.kernel_h * pitch,
        pitch=pitch,
        half_depth=rows.shape[2] // 2,
        in_channels=source.channels,
        out_channels=out.channels,
    )


def _accepts_depthwise(layer: DepthwiseConv2d, program: Program) -> bool:
    taps = -(-layer.kernel_h // 2) * layer.kernel_w
    return layer.depth_multiplier == 1 and taps <= _DEPTHWISE_TAPS and portable.fits(layer, program)


def _depthwise(layer: DepthwiseConv2d, program: Program) -> Call:
    """Weights (KH, KW, C) as [panel][pair of KH][KW][8][2]; row pairs of a panel in scratch."""
    out = program.values[layer.output]
    filled = _filled(_filled(layer.weights, 0, 2), 2, _LANES).astype(np.int16)
    pairs = filled.reshape(filled.shape[0] // 2, 2, layer.kernel_w, -1, _LANES)
    columns = (out.width - 1) * layer.stride_w + layer.kernel_w
    return _windowed(
        "vad_host_depthwise_conv2d",
        layer,
        program,
        pairs.transpose(3, 0, 2, 4, 1),
        np.moveaxis(layer.weights, 2, 0),
        scratch_bytes=4 * _LANES * columns * pairs.shape[0],
        columns=columns,
        channels=out.channels,
        kernel_w=layer.kernel_w,
    )


def _add(layer: Add, program: Program) -> Call:
    return replace(portable.add(layer, program), function="vad_host_add", header="vad_host_add.h")


KERNELS: tuple[Kernel, ...] = (
    Kernel(Conv2d, portable.fits, _conv2d),
    Kernel(DepthwiseConv2d, _accepts_depthwise, _depthwise),
    Kernel(Add, portable.fits, _add),
)
