"""Light smoothing of cells, in integers; C twin `vad_smooth.c`."""

from __future__ import annotations

import numpy as np

from vadgen.ref.roi import Inside, shifted

SMOOTH_BITS = 4


def smooth(cells: np.ndarray, inside: Inside) -> np.ndarray:
    """Weights 1-2-1 of runs along both axes of (n, h, w), ends repeated: 2^SMOOTH_BITS the mean.

    Cells outside become 0.
    """
    for axis in (2, 1):
        cells = shifted(cells, inside, axis, -1) + 2 * cells + shifted(cells, inside, axis, 1)
    return cells * inside
