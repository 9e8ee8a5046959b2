"""DEPTHWISE_CONV_2D; C twin `vad_depthwise_conv2d.c`, vectors `depthwise_conv2d.json`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vadgen.lower import DepthwiseConv2d, Value
from vadgen.ref.conv2d import clamp_requantize
from vadgen.ref.windows import windows


def depthwise_conv2d(
    layer: DepthwiseConv2d, values: tuple[Value, ...], x: NDArray[np.int8]
) -> NDArray[np.int8]:
    """out[y, x, c * m + k] = requantize(bias + sum w[i, j, c * m + k] * (in[..., c] - zero point)).

    Args:
        layer: the integer layer; m is its depth multiplier.
        values: the program's values, for shapes and zero points.
        x: int8 (H, W, C).

    Returns:
        int8 (OH, OW, C * m).
    """
    source, out = values[layer.inputs[0]], values[layer.output]
    centred = np.repeat(x.astype(np.int64) - source.zero_point, layer.depth_multiplier, axis=2)
    patches = windows(layer, centred, out.rows, out.width, 0)
    acc = np.zeros((out.rows, out.width, out.channels), dtype=np.int64)
    for i in range(layer.kernel_h):
        for j in range(layer.kernel_w):
            acc += patches[:, :, i, j] * layer.weights[i, j].astype(np.int64)
    return clamp_requantize(acc + layer.bias, layer.requant)
