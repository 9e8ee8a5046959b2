"""What a detector of the study is: fitted on good parts it gives a model, which scores pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vadgen.backbones.network import Network
from vadgen.errors import VadgenError
from vadgen.progress import Progress
from vadgen.report.heatmap import upsample_matrix

Taps = tuple[NDArray[np.float32], ...]

BATCH = 32
EPOCHS_KEY = "student.epochs"
"""The recipe key that says how long a detector is trained."""
MAP_SIGMA = 4.0
"""Standard deviation of the Gaussian that smooths anomaly maps, in pixels."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures and what the frozen backbone makes of them, read as they are used.

    Attributes:
        network: the float backbone; its taps are the features, finest first.
        side: of the pictures in pixels.
        indices: int64 (n,), which entries of the store these pictures are.
        read_images: entries of the store as uint8 (n, side, side, 3), RGB.
        read_taps: entries of the store as float32 (n, rows, cols, channels) a tap.
    """

    network: Network
    side: int
    indices: NDArray[np.int64]
    read_images: Callable[[NDArray[np.int64]], NDArray[np.uint8]]
    read_taps: Callable[[NDArray[np.int64]], Taps]

    def __len__(self) -> int:
        return len(self.indices)

    def take(self, chosen: NDArray[np.int64]) -> Pictures:
        """Some of the pictures, by their places among these, in the order given."""
        return replace(self, indices=self.indices[chosen])

    def images(self) -> NDArray[np.uint8]:
        """All of these pictures, uint8 (n, side, side, 3), RGB."""
        return self.read_images(self.indices)

    def taps(self) -> Taps:
        """The features of all of these pictures, float32 (n, rows, cols, channels) a tap."""
        return self.read_taps(self.indices)

    def batches(self, size: int = BATCH) -> Iterator[Pictures]:
        """These pictures in order, `size` at a time."""
        places = np.arange(len(self))
        return (self.take(places[start : start + size]) for start in range(0, len(self), size))


def n_batches(pictures: Pictures) -> int:
    """How many batches `Pictures.batches` gives."""
    return -(-len(pictures) // BATCH)


@dataclass(frozen=True, eq=False)
class Scores:
    """What a model says of pictures; higher is more anomalous.

    Attributes:
        images: float32 (n,).
        maps: float32 (n, side, side), comparable between pictures: never rescaled.
    """

    images: NDArray[np.float32]
    maps: NDArray[np.float32]


class Model(Protocol):
    """A fitted method."""

    @property
    def model_bytes(self) -> int:
        """Bytes that it keeps beside the backbone: statistics, bank or parameters."""

    @property
    def losses(self) -> tuple[float, ...]:
        """Mean training loss of each epoch; empty where nothing is trained."""

    def score(self, pictures: Pictures) -> Scores:
        """Scores of a batch."""


@dataclass(frozen=True)
class Method:
    """A way to detect anomalies.

    Attributes:
        name: as `--detectors` takes it.
        title: for people.
        family: the thesis's name, under which tables and figures show it: "padim", "patchcore",
            "cfa", "stfpm".
        fit: gives the model from pictures of good parts, the seed of every random choice, and what
            to tell of long work; the same arguments give the same model.
        build: recipe keys that build the nearest detector for a board, such as
            `{"detector": "padim"}`.
        epochs: of training, the paper's; 0 for a method that is not trained. `fit` of one that is
            takes others as `epochs`.
        effort: how long a cell takes beside others that are not trained; the longest begin first.
    """

    name: str
    title: str
    family: str
    fit: Callable[..., Model]
    build: Mapping[str, str]
    epochs: int = 0
    effort: int = 0


def epochs_of(name: str, default: int) -> int | None:
    """The epochs that `name@epochs` asks for; None where it says no more than the name.

    Args:
        name: of a detector.
        default: the paper's epochs; 0 for a detector that is not trained.

    Raises:
        VadgenError: it is not trained, or for no number of epochs.
    """
    own, mark, epochs = name.partition("@")
    if not mark:
        return None
    if not default:
        raise VadgenError(f"{own} is not trained, so '{name}' has no meaning", f"write {own}")
    if not epochs.isdecimal() or int(epochs) == 0:
        raise VadgenError(
            f"'{name}' names no number of epochs", f"write {own}@20, or {own} for {default}"
        )
    return int(epochs)


def say_loss(progress: Progress, epoch: int, epochs: int, loss: float) -> None:
    """Tell the loss of an epoch, of every tenth of them all and the last."""
    if (epoch + 1) % max(1, epochs // 10) == 0 or epoch + 1 == epochs:
        progress.note(f"epoch {epoch + 1} of {epochs}: loss {loss:.4g}")


def smooth_maps(cells: NDArray[np.floating], side: int) -> NDArray[np.float32]:
    """Cells brought to the pictures' size, bilinear, then a Gaussian of `MAP_SIGMA` pixels.

    Both are linear in rows and in columns, so that a map is `A cells B^T`.

    Args:
        cells: (n, rows, cols).
        side: of the pictures.

    Returns:
        float32 (n, side, side).
    """
    from scipy.ndimage import gaussian_filter1d

    vertical, horizontal = (
        gaussian_filter1d(upsample_matrix(count, side), MAP_SIGMA, axis=0).astype(np.float32)
        for count in cells.shape[1:]
    )
    maps: NDArray[np.float32] = vertical @ cells.astype(np.float32) @ horizontal.T
    return maps
