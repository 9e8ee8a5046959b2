"""PatchCore's rotation of a level's patches before they meet a product-quantized bank.

C twin: `firmware/lib/vad_detect/src/vad_rotate.c`. Vectors: `tests/vectors/rotate.json`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LIMIT = 127


@dataclass(frozen=True, eq=False)
class Rotation:
    """`clamp((weights @ patch + bias) >> shift, -127, 127)`.

    Attributes:
        weights: int8 (D, D).
        bias: int32 (D,), at most 2^30 in magnitude; holds the half that rounds.
        shift: in [0, 30].
    """

    weights: np.ndarray
    bias: np.ndarray
    shift: int


def rotate(patches: np.ndarray, rotation: Rotation) -> np.ndarray:
    """Rotated patches.

    Sums are at most D * 127 * 128 in magnitude: below 2^24 the float32 product is exact, below
    2^53 the float64 one.

    Args:
        patches: int8 (..., D).
        rotation: see `Rotation`.

    Returns:
        int8 (..., D).
    """
    weights = rotation.weights
    dtype = np.float32 if 127 * 128 * weights.shape[1] < 2**24 else np.float64
    sums = (patches.astype(dtype) @ weights.T.astype(dtype)).astype(np.int64)
    return np.clip((sums + rotation.bias) >> rotation.shift, -LIMIT, LIMIT).astype(np.int8)
