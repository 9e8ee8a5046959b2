"""The pictures of a build: the data set, the demo set, and those that parity is shown on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vadgen.data.dataset import Dataset
from vadgen.data.demo import write_demo
from vadgen.data.folder import load_dataset
from vadgen.data.images import image_size, load_rgb, load_roi
from vadgen.pipeline.cache import cached
from vadgen.pipeline.manifest import code_digest, sha256_file, sha256_text
from vadgen.recipe import Recipe

PARITY_IMAGES = 8


@dataclass(frozen=True, eq=False)
class Region:
    """The recipe's region of interest.

    Attributes:
        mask: bool (height, width) over the whole picture, or None: all of it counts.
        sha256: digest of the mask's file, or None.
        notes: what the user may want to know of it.
    """

    mask: NDArray[np.bool_] | None = None
    sha256: str | None = None
    notes: tuple[str, ...] = ()


def open_dataset(recipe: Recipe) -> Dataset:
    """The recipe's data set, or the demo set, painted once into the cache."""
    if recipe.data is not None:
        return load_dataset(recipe.data)

    def make(folder: Path) -> None:
        write_demo(folder / "demo", recipe.seed)

    key = sha256_text(code_digest("data"), str(recipe.seed))
    return load_dataset(cached("demo", key, make) / "demo")


def open_region(recipe: Recipe, dataset: Dataset) -> Region:
    """The recipe's region of interest; a mask of another size is stretched over the pictures.

    Raises:
        VadgenError: the mask cannot be read, or is black all over.
    """
    if recipe.roi is None:
        return Region()
    mask = load_roi(recipe.roi)
    height, width = mask.shape
    share = f"region of interest: {100 * mask.mean():.0f} % of the picture"
    notes = [share]
    frame = image_size(dataset.train[0])
    if frame != (width, height):
        notes.append(
            f"region of interest: the mask of {width}x{height} is stretched over pictures of "
            f"{frame[0]}x{frame[1]}"
        )
    return Region(mask, sha256_file(recipe.roi), tuple(notes))


def parity_images(dataset: Dataset, size: int) -> NDArray[np.uint8]:
    """Eight pictures as uint8 RGB (8, size, size, 3): four defects, four good, where there are."""
    good = [item.path for item in dataset.test if not item.is_anomalous] + list(dataset.train)
    bad = [item.path for item in dataset.test if item.is_anomalous]
    spread = bad[:: max(1, len(bad) // 4)][:4]
    chosen = [*spread, *good, *bad][:PARITY_IMAGES]
    return np.stack([load_rgb(chosen[i % len(chosen)], size) for i in range(PARITY_IMAGES)])
