"""The pictures of a build: the data set, the demo set, and those that parity is shown on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vadgen.data.dataset import Dataset
from vadgen.data.demo import write_demo
from vadgen.data.folder import load_dataset
from vadgen.data.images import load_rgb
from vadgen.pipeline.cache import cached
from vadgen.pipeline.manifest import code_digest, sha256_text
from vadgen.recipe import Recipe

PARITY_IMAGES = 8


def open_dataset(recipe: Recipe) -> Dataset:
    """The recipe's data set, or the demo set, painted once into the cache."""
    if recipe.data is not None:
        return load_dataset(recipe.data)

    def make(folder: Path) -> None:
        write_demo(folder / "demo", recipe.seed)

    key = sha256_text(code_digest("data"), str(recipe.seed))
    return load_dataset(cached("demo", key, make) / "demo")


def parity_images(dataset: Dataset, size: int) -> NDArray[np.uint8]:
    """Eight pictures as uint8 RGB (8, size, size, 3): four defects, four good, where there are."""
    good = [item.path for item in dataset.test if not item.is_anomalous] + list(dataset.train)
    bad = [item.path for item in dataset.test if item.is_anomalous]
    spread = bad[:: max(1, len(bad) // 4)][:4]
    chosen = [*spread, *good, *bad][:PARITY_IMAGES]
    return np.stack([load_rgb(chosen[i % len(chosen)], size) for i in range(PARITY_IMAGES)])
