"""CONCATENATION of channels; C twin `vad_concat.c`, vectors `concat.json`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def concat(xs: Sequence[NDArray[np.int8]]) -> NDArray[np.int8]:
    """Joins int8 (H, W, C_i) along channels."""
    return np.concatenate(xs, axis=2)
