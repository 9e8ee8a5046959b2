"""CONV_2D and FULLY_CONNECTED; C twin `vad_conv2d.c`, vectors `conv2d.json`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vadgen.fixed import requantize, wrap_int32
from vadgen.lower import Conv2d, Requant, Value
from vadgen.ref.windows import windows


def clamp_requantize(acc: NDArray[np.int64], r: Requant) -> NDArray[np.int8]:
    """Requantizes accumulators (..., channels), adds the zero point, clamps."""
    scaled = wrap_int32(requantize(acc, r.multiplier, r.shift) + r.zero_point)
    return np.clip(scaled, r.low, r.high).astype(np.int8)


def conv2d(layer: Conv2d, values: tuple[Value, ...], x: NDArray[np.int8]) -> NDArray[np.int8]:
    """out[y, x, o] = requantize(bias[o] + sum w[o, i, j, c] * (in[...] - zero point)).

    Args:
        layer: the integer layer.
        values: the program's values, for shapes and zero points.
        x: int8 (H, W, C).

    Returns:
        int8 (OH, OW, O).
    """
    source, out = values[layer.inputs[0]], values[layer.output]
    centred = x.astype(np.int64) - source.zero_point
    patches = windows(layer, centred, out.rows, out.width, 0)
    # Products and sums stay below 2^31 (lower.py checks), so float64 is exact, and fast.
    flat = patches.reshape(out.rows * out.width, -1).astype(np.float64)
    acc = flat @ layer.weights.reshape(len(layer.weights), -1).T.astype(np.float64)
    total = acc.astype(np.int64) + layer.bias
    return clamp_requantize(total, layer.requant).reshape(out.rows, out.width, out.channels)
