"""Pictures whose features are drawn, not computed: for tests of the study's methods."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vadgen.backbones import load_backbone
from vadgen.benchmark.methods.method import Pictures

SIDE = 64
SHAPES = ((8, 8, 5), (4, 4, 7))


def drawn(count: int, seed: int = 0, odd: int = 0, side: int = SIDE) -> Pictures:
    """Pictures with smooth random features; the last `odd` have a few cells moved far away."""
    rng = np.random.default_rng(seed)
    taps = []
    for rows, cols, channels in SHAPES:
        place = np.random.default_rng(7).normal(0, 1, (rows, cols, channels))
        tap = place + rng.normal(0, 0.3, (count, rows, cols, channels))
        tap[count - odd :, 1:3, 1:3] += 3
        taps.append(tap.astype(np.float32))
    images = rng.integers(0, 256, (count, side, side, 3), np.uint8)

    def read_images(indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return images[indices]

    def read_taps(indices: NDArray[np.int64]) -> tuple[NDArray[np.float32], ...]:
        return tuple(tap[indices] for tap in taps)

    network = load_backbone("tiny", weights=Path("random"))
    return Pictures(network, side, np.arange(count), read_images, read_taps)
