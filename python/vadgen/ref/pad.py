"""PAD; C twin `vad_pad.c`, vectors `pad.json`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vadgen.lower import Pad, Value


def pad(layer: Pad, values: tuple[Value, ...], x: NDArray[np.int8]) -> NDArray[np.int8]:
    """Places int8 (H, W, C) into a larger int8 (OH, OW, OC) full of the zero point."""
    out = values[layer.output]
    result = np.full((out.rows, out.width, out.channels), layer.zero_point, dtype=np.int8)
    h, w, c = x.shape
    before = layer.channels_before
    result[layer.top : layer.top + h, layer.left : layer.left + w, before : before + c] = x
    return result
