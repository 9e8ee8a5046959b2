"""Convolutions in groups as plain ones, for sets whose plain convolutions are fast.

Weights of the channels of other groups are zero. They take flash, so the portable kernel, which
stores none of them, is the compact layout.
"""

from __future__ import annotations

from dataclasses import fields
from functools import lru_cache
from typing import Any

import numpy as np

from vadgen.kernels import portable
from vadgen.kernels.base import Call, Compact, Kernel
from vadgen.lower import Conv2d, GroupConv2d, Program

_PORTABLE_OUTPUT, _PORTABLE_TAP, _PLAIN_TAP = 60, 10, 1
"""Instructions, about: of the portable kernel for an output and each tap, of a plain one's tap."""


@lru_cache(maxsize=64)
def plain(layer: GroupConv2d) -> Conv2d:
    """The layer as a convolution of all channels."""
    outputs, height, width, share = layer.weights.shape
    weights = np.zeros((outputs, height, width, layer.groups, share), np.int8)
    group = np.arange(outputs) // (outputs // layer.groups)
    weights[np.arange(outputs), :, :, group] = layer.weights
    members = {f.name: getattr(layer, f.name) for f in fields(Conv2d)}
    return Conv2d(**{**members, "weights": weights.reshape(outputs, height, width, -1)})


def _compact(layer: GroupConv2d, program: Program) -> Compact:
    out, taps = program.values[layer.output], layer.weights[0].size
    more = _PORTABLE_OUTPUT + taps * (_PORTABLE_TAP - _PLAIN_TAP * layer.groups)
    return Compact((layer.groups - 1) * layer.weights.size, out.total_bytes * more)


def grouped(conv2d: Kernel) -> Kernel:
    """The kernel of convolutions in groups that a set's plain one makes."""

    def accepts(layer: GroupConv2d, program: Program) -> bool:
        pays = _compact(layer, program).costs > 0
        return pays and portable.fits(layer, program) and conv2d.accepts(plain(layer), program)

    def pack(layer: GroupConv2d, program: Program, compact: bool = False, **options: Any) -> Call:
        if compact:
            return portable.group_conv2d(layer, program)
        return conv2d.pack(plain(layer), program, **options)

    return Kernel(GroupConv2d, accepts, pack, takes_room=True, compact=_compact)
