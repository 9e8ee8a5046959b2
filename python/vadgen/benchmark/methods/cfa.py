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

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

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
        weights: float32 (D, D + 2).
        bias: float32 (D,).
        centres: float32 (D, n).
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

    def score(self, pictures: Pictures) -> Scores:
        """The weighted least distance of each cell, smoothed; the map's maximum."""
        import torch

        parts = []
        with one_thread(), torch.inference_mode():
            for batch in pictures.batches(BATCH):
                x, shape = described(batch)
                squared = _squared(x @ self.weights.T + self.bias, self.centres)
                nearest = squared.clamp_min(0).sqrt().topk(_ATTRACTED, largest=False).values
                share = torch.softmax(-nearest, dim=-1)[..., 0]
                parts.append((share * nearest[..., 0]).reshape(-1, *shape).numpy())
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
        VadgenError: no picture.
    """
    import torch

    if not len(train):
        raise VadgenError("no pictures to train on", "give at least one good picture")
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    with one_thread():
        width = described(train.take(np.arange(1)))[0].shape[-1]
        limit = width**-0.5
        weights = torch.empty(width - 2, width).uniform_(-limit, limit, generator=generator)
        bias = torch.empty(width - 2).uniform_(-limit, limit, generator=generator)
        centres = _bank(train, weights, bias, seed)
        radius = torch.tensor(_FIRST_RADIUS)
        trained = [t.requires_grad_() for t in (weights, bias, radius)]
        optimizer = torch.optim.AdamW(trained, lr=_RATE, weight_decay=_DECAY, amsgrad=True)
        losses: list[float] = []
        for epoch in progress.track(range(epochs), epochs, "training the convolution"):
            found = []
            for batch in train.take(rng.permutation(len(train))).batches(BATCH):
                x, _ = described(batch)
                loss = _loss(_squared(x @ weights.T + bias, centres), radius)
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                found.append(loss.item())
            losses.append(float(np.mean(found)))
            say_loss(progress, epoch, epochs, losses[-1])
    return Spheres(weights.detach(), bias.detach(), centres, tuple(losses))


def described(pictures: Pictures) -> tuple[torch.Tensor, tuple[int, int]]:
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
    return torch.cat(parts, dim=1).flatten(2).transpose(1, 2).contiguous(), (rows, cols)


def _bank(train: Pictures, weights: torch.Tensor, bias: torch.Tensor, seed: int) -> torch.Tensor:
    """Each cell's mean over the pictures, (D, cells), clustered where there are too many."""
    import torch

    total = torch.zeros(1)
    for batch in train.batches(BATCH):
        total = total + (described(batch)[0] @ weights.T + bias).sum(dim=0)
    means = total / len(train)
    if len(means) > MOST_CENTRES:
        from sklearn.cluster import MiniBatchKMeans

        clusters = MiniBatchKMeans(MOST_CENTRES, random_state=seed, n_init=1)
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


METHODS = (Method("cfa", "CFA", "cfa", fit, epochs=EPOCHS),)
