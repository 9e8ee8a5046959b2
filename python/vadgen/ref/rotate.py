"""PatchCore's rotation of a level's patches before they meet a product-quantized bank.

C twin: `firmware/lib/vad_detect/src/vad_rotate.c`. Vectors: `tests/vectors/rotate.json`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LIMIT = 127


@dataclass(frozen=True, eq=False)
class Rotation:
    """`clamp((weights @ features + bias) >> shift, -127, 127)`, block by block.

    A block is `block` features, side by side once they are in `order`; the last one may be smaller.

    Attributes:
        order: uint16 (D,), which feature of the patch comes where.
        weights: int8, the square matrices of the blocks, one after another.
        bias: int32 (D,), at most 2^30 in magnitude; holds the half that rounds.
        block: in [1, D].
        shift: in [0, 30].
    """

    order: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    block: int
    shift: int


def rotate(patches: np.ndarray, rotation: Rotation) -> np.ndarray:
    """Rotated patches.

    Args:
        patches: int8 (..., D).
        rotation: see `Rotation`.

    Returns:
        int8 (..., D).
    """
    parts, start = [], 0
    for first in range(0, len(rotation.order), rotation.block):
        own = rotation.order[first : first + rotation.block]
        weights = rotation.weights[start : start + len(own) ** 2].reshape(len(own), -1)
        bias = rotation.bias[first : first + len(own)]
        parts.append(weigh(patches[..., own], weights, bias, rotation.shift))
        start += len(own) ** 2
    return np.concatenate(parts, axis=-1)


def weigh(patches: np.ndarray, weights: np.ndarray, bias: np.ndarray, shift: int) -> np.ndarray:
    """`clamp((weights @ patch + bias) >> shift, -127, 127)` of all patches.

    Sums are at most D * 127 * 128 in magnitude: below 2^24 the float32 product is exact, below
    2^53 the float64 one.

    Args:
        patches: int8 (..., D).
        weights: int8 (n, D).
        bias: int32 (..., n), at most 2^30 in magnitude.
        shift: in [0, 30].

    Returns:
        int8 (..., n).
    """
    dtype = np.float32 if 127 * 128 * weights.shape[1] < 2**24 else np.float64
    sums = (patches.astype(dtype) @ weights.T.astype(dtype)).astype(np.int64)
    return np.clip((sums + bias) >> shift, -LIMIT, LIMIT).astype(np.int8)
