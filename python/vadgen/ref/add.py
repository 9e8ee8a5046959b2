"""ADD; C twin `vad_add.c`, vectors `add.json`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vadgen.fixed import requantize
from vadgen.lower import Add


def add(layer: Add, a: NDArray[np.int8], b: NDArray[np.int8]) -> NDArray[np.int8]:
    """requantize(sum of both inputs, each centred, shifted left by 20 and scaled), clamped.

    Args:
        layer: the integer layer.
        a: int8 (H, W, C).
        b: int8 (H, W, C).

    Returns:
        int8 (H, W, C).
    """
    total = np.zeros(a.shape, dtype=np.int64)
    for i, x in enumerate((a, b)):
        centred = x.astype(np.int64) - layer.zero_points[i]
        total += requantize(centred << 20, layer.multipliers[i], layer.shifts[i])
    scaled = requantize(total, layer.multipliers[2], layer.shifts[2]) + layer.zero_points[2]
    return np.clip(scaled, layer.low, layer.high).astype(np.int8)
