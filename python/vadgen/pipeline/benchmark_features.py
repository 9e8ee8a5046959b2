"""Float features of all pictures of a part, made once and shared by every cell that needs them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vadgen.benchmark.methods.method import BATCH, Pictures
from vadgen.data.dataset import Dataset
from vadgen.data.images import iter_batches
from vadgen.pipeline.backbone import network_digest
from vadgen.pipeline.cache import cached, save_arrays
from vadgen.pipeline.manifest import code_digest, sha256_text

if TYPE_CHECKING:
    from vadgen.backbones.network import Network

_FACTS = "facts.json"


@dataclass(frozen=True, eq=False)
class Store:
    """Features on disk of all pictures of a part.

    Attributes:
        network: that made them.
        side: of the pictures in pixels.
        paths: the pictures, those for training first.
        folder: of the features.
        pixels: digest of all that the pictures' pixels depend on.
    """

    network: Network
    side: int
    paths: tuple[Path, ...]
    folder: Path
    pixels: str

    def pictures(self, paths: list[Path]) -> Pictures:
        """Some of the pictures, by their files."""
        place = {path: i for i, path in enumerate(self.paths)}
        indices = np.array([place[path] for path in paths], np.int64)
        return Pictures(self.network, self.side, indices, self._read_images, self._read_taps)

    @property
    def seconds(self) -> float:
        """Of the backbone for one picture, on one thread."""
        facts: dict[str, float] = json.loads((self.folder / _FACTS).read_text(encoding="utf-8"))
        return facts["seconds"]

    def _read_images(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """From the cache: who looks at pictures does so in every epoch."""

        def make(folder: Path) -> None:
            batches = iter_batches(self.paths, self.side, BATCH)
            save_arrays(folder, "picture", len(self.paths), ((batch,) for batch in batches))

        folder = cached("pictures", self.pixels, make)
        return np.asarray(np.load(folder / "picture_0.npy", mmap_mode="r")[indices])

    def _read_taps(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.float32], ...]:
        """Maps the files for this read alone, so that their pages do not stay in memory."""
        return tuple(
            np.asarray(np.load(self.folder / f"tap_{i}.npy", mmap_mode="r")[indices])
            for i in range(len(self.network.taps))
        )


def open_store(network: Network, dataset: Dataset, data_sha: str, side: int) -> Store:
    """The features of a part's pictures; computed when the cache does not hold them."""
    paths = (*dataset.train, *(item.path for item in dataset.test))
    names = [str(path) for path in paths]
    pixels = sha256_text(code_digest("data"), data_sha, str(side), *names)
    parts = (code_digest("backbones"), network_digest(network))

    def make(folder: Path) -> None:
        seconds: list[float] = []
        save_arrays(folder, "tap", len(paths), _forward(network, paths, side, seconds))
        facts = {"seconds": float(np.median(seconds))}
        (folder / _FACTS).write_text(json.dumps(facts), encoding="utf-8")

    folder = cached("study", sha256_text(*parts, pixels), make)
    return Store(network, side, paths, folder, pixels)


def _forward(
    network: Network, paths: tuple[Path, ...], side: int, seconds: list[float]
) -> Iterator[Any]:
    """Taps of batches; `seconds` gets the time of one picture in each."""
    from vadgen.backbones.network import forward

    for images in iter_batches(paths, side, BATCH):
        started = time.process_time()
        taps = forward(network, images)
        seconds.append((time.process_time() - started) / len(images))
        yield taps
