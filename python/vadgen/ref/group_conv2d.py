"""CONV_2D in groups; C twin `vad_group_conv2d.c`, vectors `group_conv2d.json`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vadgen.lower import GroupConv2d, Value
from vadgen.ref.conv2d import clamp_requantize
from vadgen.ref.windows import windows


def group_conv2d(
    layer: GroupConv2d, values: tuple[Value, ...], x: NDArray[np.int8]
) -> NDArray[np.int8]:
    """`conv2d` in which output channel o sees the input channels of its group alone.

    Args:
        layer: the integer layer.
        values: the program's values, for shapes and zero points.
        x: int8 (H, W, C).

    Returns:
        int8 (OH, OW, O).
    """
    source, out = values[layer.inputs[0]], values[layer.output]
    centred = x.astype(np.int64) - source.zero_point
    parts = []
    for own, weights in zip(
        np.split(centred, layer.groups, axis=2), np.split(layer.weights, layer.groups), strict=True
    ):
        patches = windows(layer, own, out.rows, out.width, 0).reshape(out.rows * out.width, -1)
        parts.append(patches @ weights.reshape(len(weights), -1).T.astype(np.int64))
    total = np.concatenate(parts, axis=1) + layer.bias
    return clamp_requantize(total, layer.requant).reshape(out.rows, out.width, out.channels)
