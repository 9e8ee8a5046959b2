"""MUL; C twin `vad_mul.c`, vectors `mul.json`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vadgen.fixed import requantize
from vadgen.lower import Mul


def mul(layer: Mul, a: NDArray[np.int8], b: NDArray[np.int8]) -> NDArray[np.int8]:
    """requantize(product of both inputs, each centred), clamped.

    Args:
        layer: the integer layer.
        a: int8 (H, W, C).
        b: int8 (H, W, C), or (1, 1, C) by channel.

    Returns:
        int8 (H, W, C).
    """
    product = (a.astype(np.int64) - layer.zero_points[0]) * (
        b.astype(np.int64) - layer.zero_points[1]
    )
    scaled = requantize(product, layer.multiplier, layer.shift) + layer.zero_points[2]
    return np.clip(scaled, layer.low, layer.high).astype(np.int8)
