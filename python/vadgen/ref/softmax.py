"""SOFTMAX; C twin `vad_softmax.c`, vectors `softmax.json`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vadgen.fixed import (
    one_over_one_plus_x,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
)
from vadgen.lower import Softmax


def softmax(layer: Softmax, x: NDArray[np.int8]) -> NDArray[np.int8]:
    """exp(x - max) / sum over the last axis of int8 (H, W, C), as 256ths minus 128.

    The sum has 12 integer bits; its reciprocal comes from three Newton steps.
    """
    out = np.empty_like(x)
    for y in range(x.shape[0]):
        for i in range(x.shape[1]):
            row = x[y, i].astype(np.int64)
            exps = layer.exp_table.astype(np.int64)[row.max() - row]
            total = int(rounding_divide_by_pot(exps, 12).sum())
            headroom = 32 - total.bit_length()  # leading zeros, at least 1: total < 2^31
            scale = one_over_one_plus_x((total << headroom) - (1 << 31))
            shift = 12 - headroom + 31 - 8
            scaled = rounding_divide_by_pot(
                saturating_rounding_doubling_high_mul(exps, scale), shift
            )
            out[y, i] = np.clip(scaled - 128, -128, 127)
    return out
