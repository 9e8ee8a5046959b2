"""MAXIMUM; C twin `vad_maximum.c`, vectors `maximum.json`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def maximum(a: NDArray[np.int8], b: NDArray[np.int8]) -> NDArray[np.int8]:
    """The greater of two int8 (H, W, C), value by value."""
    return np.maximum(a, b)
