"""GATHER along channels; C twin `vad_gather.c`, vectors `gather.json`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vadgen.lower import Gather


def gather(layer: Gather, x: NDArray[np.int8]) -> NDArray[np.int8]:
    """int8 (H, W, O): output channel i is channel `channels[i]` of `x`, int8 (H, W, C)."""
    return x[:, :, layer.channels]
