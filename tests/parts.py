"""A small labelled set of pictures of parts, painted by a seeded generator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 40


def part(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A ribbed gray part, uint8 (40, 40, 3), each a little different."""
    ribs = np.add.outer(np.arange(SIDE), np.arange(SIDE)) % 16 * 8 + 60
    noise = rng.integers(-6, 7, (SIDE, SIDE, 3))
    return (ribs[..., None] + noise).astype(np.uint8)


def spotted(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A part with a bright spot, and the spot's mask."""
    picture, mask = part(rng), np.zeros((SIDE, SIDE), bool)
    y, x = rng.integers(4, 24, 2)
    mask[y : y + 10, x : x + 10] = True
    picture[mask] = 230
    return picture, mask


def save(path: Path, pixels: NDArray[np.generic]) -> Path:
    """Writes a picture, its format by its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def write_good(folder: Path, count: int = 12) -> Path:
    """A plain folder of good parts."""
    rng = np.random.default_rng(0)
    for i in range(count):
        save(folder / f"{i:03}.png", part(rng))
    return folder


def write_labelled(root: Path) -> Path:
    """MVTec layout: 12 good parts, and 4 good and 4 spotted ones with masks to test on."""
    write_good(root / "train" / "good")
    rng = np.random.default_rng(1)
    for i in range(4):
        picture, mask = spotted(rng)
        save(root / "test" / "good" / f"{i:03}.png", part(rng))
        save(root / "test" / "spot" / f"{i:03}.png", picture)
        save(root / "ground_truth" / "spot" / f"{i:03}_mask.png", mask * 255)
    return root
