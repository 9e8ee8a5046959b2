"""STFPM and PaSTe: a student learns the features of good parts from its teacher, the backbone.

The loss of a tap is the mean over its pixels of `|t / |t| - s / |s||^2`. It is the score, too: the
map is the product of the taps'. PaSTe's student begins with the teacher's own layers and learns
those from the first tap's block on. A fifth of the pictures is kept aside; the weights of the epoch
with the least mean of their maps are taken.

Source: Wang et al., "Student-Teacher Feature Pyramid Matching for Anomaly Detection", 2021, and
github.com/gdwang08/STFPM (rates, epochs, validation); Barusco et al., "PaSTe: Improving the
Efficiency of Visual Anomaly Detection at the Edge", 2024.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vadgen.backbones.network import (
    IMAGE,
    Network,
    forward,
    one_thread,
    preprocess,
    trim,
    twins,
)
from vadgen.benchmark.methods.method import Method, Pictures, Scores, say_loss
from vadgen.benchmark.methods.student import Student, draw_student, shared_start
from vadgen.errors import VadgenError
from vadgen.progress import Progress
from vadgen.report.heatmap import upsample_matrix

if TYPE_CHECKING:
    import torch

EPOCHS = 100
BATCH = 32
_RATE, _MOMENTUM, _DECAY = 0.4, 0.9, 1e-4
_VALIDATION_SHARE = 5
_CHUNK = 8


@dataclass(frozen=True, eq=False)
class Pair:
    """A student and what it shares with its teacher.

    Attributes:
        student: trained.
        trunk: the teacher's layers that feed the student; None when it begins at the image.
        losses: mean training loss by epoch.
    """

    student: Student
    trunk: Network | None
    losses: tuple[float, ...] = ()

    @property
    def model_bytes(self) -> int:
        """Bytes of all that the student learned."""
        return sum(4 * tensor.numel() for tensor in self.student.state)

    def network(self) -> Network:
        """Teacher and student as one network whose taps are the teacher's, then the student's."""
        teacher = self.student.network
        return twins(teacher, self.student.layers(), self.student.start)

    def score(self, pictures: Pictures) -> Scores:
        """The product of the taps' differences, each brought to the pictures' size; its maximum."""
        maps = np.concatenate([self._maps(part) for part in pictures.batches(_CHUNK)])
        return Scores(maps.reshape(len(maps), -1).max(axis=1), maps)

    def _maps(self, pictures: Pictures) -> NDArray[np.float32]:
        import torch

        with one_thread(), torch.inference_mode():
            found = self.student.features(self.feed(pictures), training=False)
            taps = _teacher(pictures)
            apart = [_apart(t, s).numpy() for t, s in zip(taps, found, strict=True)]
        maps = np.ones((len(pictures), pictures.side, pictures.side), np.float32)
        for cells in apart:
            down, across = (
                upsample_matrix(n, pictures.side).astype(np.float32) for n in cells.shape[1:]
            )
            maps *= down @ cells @ across.T
        return maps

    def feed(self, pictures: Pictures) -> torch.Tensor:
        """What the student begins with, (n, C, H, W), channels last: twice as fast to train."""
        import torch

        if self.trunk is None:
            rows = preprocess(self.student.network, pictures.images())
        else:
            rows = forward(self.trunk, pictures.images())[0]
        return torch.from_numpy(rows).permute(0, 3, 1, 2)


def draw(network: Network, seed: int, *, shares: bool) -> Pair:
    """A student that has learned nothing yet; see `fit`."""
    start = shared_start(network) if shares else IMAGE
    trunk = None if start == IMAGE else trim(replace(network, taps=(start,)))
    return Pair(draw_student(network, start, seed), trunk)


def fit(
    train: Pictures, seed: int, progress: Progress, *, shares: bool = False, epochs: int = EPOCHS
) -> Pair:
    """Train a student.

    Args:
        train: pictures of good parts.
        seed: of the student's first weights, the validation pictures and the order of batches.
        progress: told the loss ten times.
        shares: PaSTe: the student begins with the teacher's first layers.
        epochs: passes over the pictures.

    Raises:
        VadgenError: fewer than two pictures, or a loss that is no number.
    """
    import torch

    if len(train) < 2:
        raise VadgenError(
            f"{len(train)} pictures train no student", "give at least 2 good pictures"
        )
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(train))
    aside = max(1, len(train) // _VALIDATION_SHARE)
    held, own = train.take(order[:aside]), train.take(order[aside:])
    losses: list[float] = []
    with one_thread():
        pair = draw(train.network, seed, shares=shares)
        student = pair.student
        optimizer = torch.optim.SGD(
            student.trained, lr=_RATE, momentum=_MOMENTUM, weight_decay=_DECAY
        )
        best, kept = inf, [tensor.detach().clone() for tensor in student.state]
        for epoch in progress.track(range(epochs), epochs, "training the student"):
            losses.append(float(np.mean(list(_epoch(pair, own, optimizer, rng)))))
            if not np.isfinite(losses[-1]):
                raise VadgenError(
                    f"the student's loss is no number after {epoch + 1} epochs",
                    "take another backbone or seed",
                )
            say_loss(progress, epoch, epochs, losses[-1])
            error = float(np.mean([pair._maps(part).mean() for part in held.batches(_CHUNK)]))
            if error < best:
                best, kept = error, [tensor.detach().clone() for tensor in student.state]
        with torch.no_grad():
            for tensor, value in zip(student.state, kept, strict=True):
                tensor.copy_(value)
    return replace(pair, losses=tuple(losses))


def _epoch(
    pair: Pair, train: Pictures, optimizer: torch.optim.SGD, rng: np.random.Generator
) -> Iterator[float]:
    """One pass over the pictures in a drawn order; the loss of each batch."""
    import torch

    order = rng.permutation(len(train))
    for batch in train.take(order).batches(BATCH):
        taps = _teacher(batch)
        found = pair.student.features(pair.feed(batch), training=True)
        loss = torch.stack([_apart(t, s).mean() for t, s in zip(taps, found, strict=True)]).sum()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        yield loss.item()


def _teacher(pictures: Pictures) -> Sequence[torch.Tensor]:
    """The backbone's taps (n, C, H, W)."""
    import torch

    return [torch.from_numpy(tap).permute(0, 3, 1, 2) for tap in pictures.taps()]


def _apart(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    """Squared distance of the directions of two taps at each pixel, (n, H, W)."""
    from torch.nn import functional

    difference = functional.normalize(teacher, dim=1) - functional.normalize(student, dim=1)
    return difference.square().sum(dim=1)


METHODS = (
    Method("stfpm", "STFPM", "stfpm", fit, {"detector": "stfpm"}, EPOCHS),
    Method(
        "paste",
        "PaSTe (shared layers)",
        "paste",
        partial(fit, shares=True),
        {"detector": "paste"},
        EPOCHS,
    ),
)
