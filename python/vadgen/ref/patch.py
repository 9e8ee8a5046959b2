"""PatchCore's patches: averages of a tap over a window, on the scale shared by all taps.

C twin: `firmware/lib/vad_detect/src/vad_patch.c`. Vectors: `tests/vectors/patch.json`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LIMIT = 127


@dataclass(frozen=True)
class Patch:
    """One tap's window and scale.

    Attributes:
        zero_point: of the tap, in [-128, 127].
        window, stride: of the average; the window starts one pixel before `stride * cell`.
        multiplier: in [0, 2^18).
        shift: in [1, 30]; a patch is `sum * multiplier / 2^shift`, rounded half up.
    """

    zero_point: int
    window: int
    stride: int
    multiplier: int
    shift: int


def window_sums(tap: np.ndarray, patch: Patch) -> np.ndarray:
    """Sums of (q - zero_point) over the window; what lies outside the tap counts as zero.

    Args:
        tap: int8 (..., height, width, channels).
        patch: the window.

    Returns:
        int32 (..., ceil(height / stride), ceil(width / stride), channels).
    """
    q = tap.astype(np.int32) - patch.zero_point
    for axis in (-3, -2):
        size = q.shape[axis]
        cells = -(-size // patch.stride)
        after = max(0, (cells - 1) * patch.stride + patch.window - 1 - size)
        edges = [(0, 0)] * q.ndim
        edges[axis] = (1, after)
        padded = np.pad(q, edges)
        starts = np.arange(cells) * patch.stride
        q = sum(np.take(padded, starts + i, axis=axis) for i in range(patch.window))
    return q


def patches(tap: np.ndarray, patch: Patch) -> np.ndarray:
    """`clamp((sum * multiplier + 2^(shift - 1)) >> shift, -127, 127)` of the window sums.

    Args:
        tap: int8 (..., height, width, channels).
        patch: window and scale.

    Returns:
        int8 (..., rows, cols, channels).
    """
    scaled = (window_sums(tap, patch) * patch.multiplier + (1 << (patch.shift - 1))) >> patch.shift
    return np.clip(scaled, -LIMIT, LIMIT).astype(np.int8)
