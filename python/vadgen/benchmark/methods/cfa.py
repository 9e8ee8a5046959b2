"""CFA: a learned 1x1 convolution pulls patches of good parts onto the centres of a bank.

Taps averaged over 3x3, coarser ones brought to the finest grid bilinearly, and two channels of
coordinates go through one convolution. The bank holds each cell's mean over the training pictures
of what the untrained convolution gives, and stays. With d^2 the squared distances to the nearest
K + J = 6 centres and r a learned radius, the loss is

    1000 * (mean over the first K of max(0, d^2 - r^2)
            + mean over the last J of max(0, r^2 - d^2 - 0.1))

A cell's score is its least distance, weighted by the softmin of the K least.

Source: Lee et al., "CFA: Coupled-hypersphere-based Feature Adaptation for Target-Oriented Anomaly
Localization", 2022; github.com/sungwool/CFA_for_anomaly_localization (rates, epochs, constants).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vadgen.backbones.network import one_thread
from vadgen.benchmark.methods.method import Method, Model, Pictures, Scores, say_loss, smooth_maps
from vadgen.benchmark.methods.padim import grid
from vadgen.benchmark.methods.patchcore import average
from vadgen.errors import VadgenError
from vadgen.progress import Progress

if TYPE_CHECKING:
    import torch

EPOCHS = 30
BATCH = 4
_ATTRACTED, _REPELLED, _MARGIN, _SLACK = 3, 3, 0.1, 1e-3
_FIRST_RADIUS = 1e-5
_RATE, _DECAY = 1e-3, 5e-4
MOST_CENTRES = 56 * 56
"""A finer grid's cells are clustered to so many: the paper's compression of the bank."""


@dataclass(frozen=True, eq=False)
class Spheres:
    """The convolution and its centres.

    Attributes:
        weights: float32 (dims, D + 2).
        bias: float32 (dims,).
        centres: float32 (dims, n).
        losses: mean training loss by epoch.
    """

    weights: torch.Tensor
    bias: torch.Tensor
    centres: torch.Tensor
    losses: tuple[float, ...] = ()

    @property
    def model_bytes(self) -> int:
        """Bytes of the convolution and the centres."""
        return sum(4 * t.numel() for t in (self.weights, self.bias, self.centres))

    def cells(self, read: NDArray[np.float32]) -> NDArray[np.float32]:
        """The weighted least distance (n, cells) of what the convolution reads of them."""
        import torch

        with one_thread(), torch.inference_mode():
            x = torch.from_numpy(read)
            squared = _squared(x @ self.weights.T + self.bias, self.centres)
            nearest = squared.clamp_min(0).sqrt().topk(_ATTRACTED, largest=False).values
            share = torch.softmax(-nearest, dim=-1)[..., 0]
            found: NDArray[np.float32] = (share * nearest[..., 0]).numpy()
        return found

    def score(self, pictures: Pictures) -> Scores:
        """The weighted least distance of each cell, smoothed; the map's maximum."""
        parts = []
        for batch in pictures.batches(BATCH):
            read, shape = described(batch)
            parts.append(self.cells(read).reshape(-1, *shape))
        maps = smooth_maps(np.concatenate(parts), pictures.side)
        return Scores(maps.reshape(len(maps), -1).max(axis=1), maps)


def fit(train: Pictures, seed: int, progress: Progress, *, epochs: int = EPOCHS) -> Model:
    """Train the convolution.

    Args:
        train: pictures of good parts.
        seed: of its first weights, the clusters and the order of batches.
        progress: told the loss ten times.
        epochs: passes over the pictures.

    Raises:
        VadgenError: see `learn`.
    """

    def read(chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        return described(train.take(chosen))[0]

    return learn(read, len(train), seed, progress, epochs=epochs)


def learn(
    read: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    count: int,
    seed: int,
    progress: Progress,
    *,
    epochs: int = EPOCHS,
    dims: int | None = None,
    most_centres: int | None = None,
) -> Spheres:
    """Train a convolution on cells of pictures.

    Args:
        read: what it reads of some pictures, by their places: float32 (n, cells, D + 2).
        count: of pictures.
        seed: see `fit`.
        progress: see `fit`.
        epochs: see `fit`.
        dims: outputs; None for D.
        most_centres: more cells are clustered to so many; None for `MOST_CENTRES`.

    Raises:
        VadgenError: no picture, or a loss that is no number.
    """
    import torch

    if not count:
        raise VadgenError("no pictures to train on", "give at least one good picture")
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    with one_thread():
        width = read(np.arange(1)).shape[-1]
        limit, dims = width**-0.5, dims or width - 2
        weights = torch.empty(dims, width).uniform_(-limit, limit, generator=generator)
        bias = torch.empty(dims).uniform_(-limit, limit, generator=generator)
        in_order = _batches(read, np.arange(count))
        centres = _bank(in_order, count, weights, bias, seed, most_centres or MOST_CENTRES)
        radius = torch.tensor(_FIRST_RADIUS)
        trained = [t.requires_grad_() for t in (weights, bias, radius)]
        optimizer = torch.optim.AdamW(trained, lr=_RATE, weight_decay=_DECAY, amsgrad=True)
        losses: list[float] = []
        for epoch in progress.track(range(epochs), epochs, "training the convolution"):
            found = []
            for batch in _batches(read, rng.permutation(count)):
                loss = _loss(_squared(batch @ weights.T + bias, centres), radius)
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                found.append(loss.item())
            losses.append(float(np.mean(found)))
            if not np.isfinite(losses[-1]):
                raise VadgenError(
                    f"the convolution's loss is no number after {epoch + 1} epochs",
                    "take another backbone or seed",
                )
            say_loss(progress, epoch, epochs, losses[-1])
    return Spheres(weights.detach(), bias.detach(), centres, tuple(losses))


def _batches(
    read: Callable[[NDArray[np.int64]], NDArray[np.float32]], order: NDArray[np.int64]
) -> Iterator[torch.Tensor]:
    import torch

    for start in range(0, len(order), BATCH):
        yield torch.from_numpy(read(order[start : start + BATCH]))


def described(pictures: Pictures) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """What the convolution reads, float32 (n, cells, D + 2), and the grid."""
    import torch
    from torch.nn import functional

    taps = pictures.taps()
    rows, cols = grid(taps)
    parts = []
    for tap in taps:
        mean = torch.from_numpy(average(tap)).permute(0, 3, 1, 2)
        parts.append(functional.interpolate(mean, (rows, cols), mode="bilinear"))
    ends = (torch.linspace(-1, 1, rows), torch.linspace(-1, 1, cols))
    places = torch.stack(torch.meshgrid(*ends, indexing="ij"))
    parts.append(places.expand(len(pictures), 2, rows, cols))
    return torch.cat(parts, dim=1).flatten(2).transpose(1, 2).contiguous().numpy(), (rows, cols)


def _bank(
    batches: Iterable[torch.Tensor],
    count: int,
    weights: torch.Tensor,
    bias: torch.Tensor,
    seed: int,
    most: int,
) -> torch.Tensor:
    """Each cell's mean over the pictures, (dims, cells), clustered where there are too many."""
    import torch

    total = torch.zeros(1)
    for batch in batches:
        total = total + (batch @ weights.T + bias).sum(dim=0)
    means = total / count
    if len(means) > most:
        from sklearn.cluster import MiniBatchKMeans

        clusters = MiniBatchKMeans(most, random_state=seed, n_init=1)
        means = torch.from_numpy(clusters.fit(means.numpy()).cluster_centers_.astype(np.float32))
    return means.T.contiguous()


def _squared(x: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Squared distances (n, cells, centres)."""
    return x.square().sum(dim=2, keepdim=True) + centres.square().sum(dim=0) - 2 * (x @ centres)


def _loss(squared: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """Attraction to the nearest centres and repulsion from the next ones."""
    nearest = squared.topk(_ATTRACTED + _REPELLED, largest=False).values
    near, far = nearest[..., :_ATTRACTED], nearest[..., _ATTRACTED:]
    attraction = (near - radius**2).clamp_min(0).mean()
    repulsion = (radius**2 - far - _MARGIN).clamp_min(0).mean()
    return (attraction + repulsion) / _SLACK


METHODS = (Method("cfa", "CFA", "cfa", fit, {"detector": "cfa"}, EPOCHS),)
