"""MEAN over height and width; C twin `vad_mean.c`, vectors `mean.json`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vadgen.fixed import requantize
from vadgen.lower import Mean


def mean(layer: Mean, x: NDArray[np.int8]) -> NDArray[np.int8]:
    """requantize(sum - count * zero point), the multiplier holding 1 / count; int8 (1, 1, C)."""
    total = x.astype(np.int64).sum(axis=(0, 1)) - layer.in_zero_point * x.shape[0] * x.shape[1]
    scaled = requantize(total, layer.multiplier, layer.shift) + layer.zero_point
    return np.clip(scaled, -128, 127).astype(np.int8).reshape(1, 1, -1)
