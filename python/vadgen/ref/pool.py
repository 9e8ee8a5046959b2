"""AVERAGE_POOL_2D and MAX_POOL_2D; C twin `vad_pool.c`, vectors `pool.json`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vadgen.lower import Pool, Value
from vadgen.ref.windows import windows


def pool(layer: Pool, values: tuple[Value, ...], x: NDArray[np.int8]) -> NDArray[np.int8]:
    """Mean (rounded, ties away from zero) or maximum of the pixels inside the image, clamped.

    Args:
        layer: the integer layer.
        values: the program's values, for shapes.
        x: int8 (H, W, C).

    Returns:
        int8 (OH, OW, C).
    """
    out = values[layer.output]
    wide = x.astype(np.int64)
    if not layer.average:
        best = windows(layer, wide, out.rows, out.width, -128).max(axis=(2, 3))
        return _clamp(best, layer)
    total = windows(layer, wide, out.rows, out.width, 0).sum(axis=(2, 3))
    ones = np.ones((*x.shape[:2], 1), dtype=np.int64)
    count = windows(layer, ones, out.rows, out.width, 0).sum(axis=(2, 3))
    magnitude = (np.abs(total) + count // 2) // count
    return _clamp(np.sign(total) * magnitude, layer)


def _clamp(values: NDArray[np.int64], layer: Pool) -> NDArray[np.int8]:
    clamped: NDArray[np.int8] = np.clip(values, layer.low, layer.high).astype(np.int8)
    return clamped
