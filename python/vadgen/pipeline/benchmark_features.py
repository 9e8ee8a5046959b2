"""Float features of all pictures of a part, made once and shared by every cell that needs them.

They are kept batch by batch, so that several workers can share one part, and none is made twice.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vadgen.benchmark.methods.method import BATCH, Pictures
from vadgen.data.dataset import Dataset
from vadgen.data.images import iter_batches
from vadgen.pipeline.backbone import network_digest
from vadgen.pipeline.cache import cached, folder_of, save_arrays
from vadgen.pipeline.manifest import code_digest, sha256_text

if TYPE_CHECKING:
    from vadgen.backbones.network import Network

_KIND = "study"
_FACTS = "facts.json"


@dataclass(frozen=True, eq=False)
class Store:
    """Features on disk of all pictures of a part.

    Attributes:
        network: that made them.
        side: of the pictures in pixels.
        paths: the pictures, those for training first.
        keys: of the features in the cache, of `BATCH` pictures each.
        pixels: digest of all that the pictures' pixels depend on.
    """

    network: Network
    side: int
    paths: tuple[Path, ...]
    keys: tuple[str, ...]
    pixels: str

    def pictures(self, paths: list[Path]) -> Pictures:
        """Some of the pictures, by their files."""
        place = {path: i for i, path in enumerate(self.paths)}
        indices = np.array([place[path] for path in paths], np.int64)
        return Pictures(self.network, self.side, indices, self._read_images, self._read_taps)

    @property
    def seconds(self) -> float:
        """Of the backbone for one picture, on one thread; the median of batches."""
        files = (folder_of(_KIND, key) / _FACTS for key in self.keys)
        return float(np.median([json.loads(f.read_text("utf-8"))["seconds"] for f in files]))

    def make(self, first: int = 0, step: int = 1) -> None:
        """Computes what the cache lacks of every `step`-th batch, from `first` on."""
        batches = range(first, len(self.keys), step)
        lacking = [i for i in batches if not folder_of(_KIND, self.keys[i]).is_dir()]
        paths = [p for i in lacking for p in self.paths[i * BATCH : (i + 1) * BATCH]]
        for i, images in zip(lacking, iter_batches(paths, self.side, BATCH), strict=True):
            cached(_KIND, self.keys[i], partial(_save, self.network, images))

    def _read_images(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """From the cache: who looks at pictures does so in every epoch."""

        def make(folder: Path) -> None:
            batches = iter_batches(self.paths, self.side, BATCH)
            save_arrays(folder, "picture", len(self.paths), ((batch,) for batch in batches))

        folder = cached("pictures", self.pixels, make)
        return np.asarray(np.load(folder / "picture_0.npy", mmap_mode="r")[indices])

    def _read_taps(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.float32], ...]:
        """Maps the files for this read alone, so that their pages do not stay in memory."""
        batches, places = np.divmod(indices, BATCH)

        def read(tap: int, batch: int) -> NDArray[np.float32]:
            path = folder_of(_KIND, self.keys[batch]) / f"tap_{tap}.npy"
            return np.asarray(np.load(path, mmap_mode="r")[places[batches == batch]])

        order = np.argsort(np.argsort(batches, kind="stable"), kind="stable")
        wanted = np.unique(batches).tolist()
        return tuple(
            np.concatenate([read(tap, batch) for batch in wanted])[order]
            for tap in range(len(self.network.taps))
        )


def _save(network: Network, images: NDArray[np.uint8], folder: Path) -> None:
    """The taps of a batch, and the seconds of one picture; others are being read meanwhile."""
    from vadgen.backbones.network import forward, one_thread

    with one_thread():
        started = time.thread_time()
        taps = forward(network, images)
        facts = {"seconds": (time.thread_time() - started) / len(images)}
    save_arrays(folder, "tap", len(images), [taps])
    (folder / _FACTS).write_text(json.dumps(facts), encoding="utf-8")


def find_store(network: Network, dataset: Dataset, data_sha: str, side: int) -> Store:
    """Where the features of a part's pictures lie, or will."""
    paths = (*dataset.train, *(item.path for item in dataset.test))
    names = [str(path) for path in paths]
    pixels = sha256_text(code_digest("data"), data_sha, str(side), *names)
    whole = sha256_text(code_digest("backbones"), network_digest(network), pixels)
    keys = tuple(sha256_text(whole, str(start)) for start in range(0, len(paths), BATCH))
    return Store(network, side, paths, keys, pixels)
