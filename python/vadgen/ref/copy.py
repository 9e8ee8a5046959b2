"""RESHAPE; C twin `vad_copy.c`, vectors `copy.json`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vadgen.lower import Copy, Value


def copy(layer: Copy, values: tuple[Value, ...], x: NDArray[np.int8]) -> NDArray[np.int8]:
    """The same bytes in another shape."""
    out = values[layer.output]
    return x.reshape(out.rows, out.width, out.channels)
