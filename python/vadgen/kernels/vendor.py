"""What the sets that call vendors' libraries share: which sums are the same there, one image a row.

The libraries work on whole images in memory. An output row is a call on the rows of its window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vadgen.kernels.portable import fits
from vadgen.kernels.requantize import Sums, settled
from vadgen.lower import Add, Conv2d, DepthwiseConv2d, Mul, Program

_MOST_RIGHT = 30
_MUL_LEFT = 14
"""A product of centred inputs is below 2^16."""


def same_sums(layer: Conv2d | DepthwiseConv2d, program: Program, limit: int) -> bool:
    """Whether no sum, shifted left as its channel wants, reaches `limit`, nor a shift 31.

    What leaves 32 bits wraps in the reference, and is undefined or saturates elsewhere.

    Args:
        layer: the integer layer.
        program: its program.
        limit: at most 2^31 - 128, so that the zero point can still be added.
    """
    zero_point = program.values[layer.inputs[0]].zero_point
    plain = settled(layer, zero_point)
    sums, shift = Sums.of(plain, zero_point), plain.requant.shift.astype(np.int64)
    reach = np.maximum(np.abs(sums.low), np.abs(sums.high)) << np.maximum(shift, 0)
    return bool(((reach < limit) & (shift >= -_MOST_RIGHT)).all())


def same_add(layer: Add, program: Program) -> bool:
    """Whether all shifts are right ones of at most 30: sums stay below 2^30."""
    return fits(layer, program) and all(-_MOST_RIGHT <= s <= 0 for s in layer.shifts)


def same_mul(layer: Mul, program: Program) -> bool:
    """Whether both inputs have one shape and no product leaves 31 bits."""
    return (
        not layer.by_channel and -_MOST_RIGHT <= layer.shift <= _MUL_LEFT and fits(layer, program)
    )


@dataclass(frozen=True)
class Image:
    """The input of one output row of a convolution, as the libraries see it.

    A kernel that covers all of it makes one pixel, and is 1x1 on a pixel of all its bytes.
    """

    height: int
    width: int
    channels: int
    kernel_h: int
    kernel_w: int
    stride_w: int
    pad_left: int

    @classmethod
    def of(cls, layer: Conv2d, program: Program) -> Image:
        """Of any convolution."""
        source, out = program.values[layer.inputs[0]], program.values[layer.output]
        stride = layer.stride_w if out.width > 1 else 1
        if layer.kernel_w == source.width and out.width == 1 and layer.pad_left == 0:
            return cls(1, 1, layer.kernel_h * source.row_bytes, 1, 1, 1, 0)
        return cls(
            layer.kernel_h,
            source.width,
            source.channels,
            layer.kernel_h,
            layer.kernel_w,
            stride,
            layer.pad_left,
        )

    @property
    def taps(self) -> int:
        """Inputs of one output."""
        return self.kernel_h * self.kernel_w * self.channels


def conv2d(
    layer: Conv2d, image: Image, program: Program, buffer_bytes: int, in_width: int
) -> dict[str, Any]:
    """Members that both sets' structs of convolutions have.

    Args:
        layer: the integer layer.
        image: what the library sees of it.
        program: its program.
        buffer_bytes: scratch that the library wants.
        in_width: of the image that it is given.
    """
    return {
        **_members(layer, image, program, buffer_bytes, in_width),
        "n_rows": layer.kernel_h,
        "in_height": image.height,
        "in_channels": image.channels,
        "out_channels": program.values[layer.output].channels,
    }


def depthwise(
    layer: DepthwiseConv2d, program: Program, buffer_bytes: int, in_width: int
) -> dict[str, Any]:
    """Those of depthwise convolutions; see `conv2d`."""
    members = _members(layer, layer, program, buffer_bytes, in_width)
    return {**members, "channels": program.values[layer.output].channels}


def _members(
    layer: Conv2d | DepthwiseConv2d,
    window: Image | DepthwiseConv2d,
    program: Program,
    buffer_bytes: int,
    in_width: int,
) -> dict[str, Any]:
    """What all of them have; tables are by output channel."""
    zero_point = program.values[layer.inputs[0]].zero_point
    plain = settled(layer, zero_point)
    return {
        "weights": plain.weights,
        "bias": plain.bias,
        "multiplier": plain.requant.multiplier,
        "shift": plain.requant.shift.astype(np.int32),
        "buffer_bytes": buffer_bytes,
        "in_width": in_width,
        "out_width": program.values[layer.output].width,
        "kernel_h": window.kernel_h,
        "kernel_w": window.kernel_w,
        "stride_w": window.stride_w,
        "in_zero_point": zero_point,
        "out_zero_point": plain.requant.zero_point,
        "low": plain.requant.low,
        "high": plain.requant.high,
    }
