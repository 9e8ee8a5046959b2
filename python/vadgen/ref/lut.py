"""RELU, RELU6 and QUANTIZE by table; C twin `vad_lut.c`, vectors `lut.json`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vadgen.lower import Lut


def lut(layer: Lut, x: NDArray[np.int8]) -> NDArray[np.int8]:
    """table[x + 128] for int8 of any shape."""
    return layer.table[x.astype(np.int64) + 128]
