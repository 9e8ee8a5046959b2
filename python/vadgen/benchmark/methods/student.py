"""A network of a backbone's layers with weights of its own, to be trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from vadgen.backbones.network import (
    IMAGE,
    Conv,
    DepthwiseConv,
    GlobalMean,
    Network,
    convolve,
    limited,
    run_node,
    sources,
    torch_weights,
)

if TYPE_CHECKING:
    import torch

_MOMENTUM, _EPSILON = 0.1, 1e-5


@dataclass(frozen=True, eq=False)
class Norm:
    """Batch norm of one convolution; all float32 (channels,), the last two follow the batches."""

    gain: torch.Tensor
    shift: torch.Tensor
    mean: torch.Tensor
    variance: torch.Tensor


@dataclass(frozen=True, eq=False)
class Student:
    """Layers behind `start`, with drawn weights and batch norms.

    Attributes:
        network: whose layers these are; its taps are the features.
        start: index of the last layer that is taken from elsewhere, `IMAGE` for none.
        weights: float32 (O, I / groups, KH, KW) by node.
        norms: by node; a convolution of a single pixel has none.
        biases: float32 (O,) by node, of convolutions without a norm.
    """

    network: Network
    start: int
    weights: Mapping[int, torch.Tensor]
    norms: Mapping[int, Norm]
    biases: Mapping[int, torch.Tensor]

    @property
    def trained(self) -> list[torch.Tensor]:
        """What an optimizer changes."""
        norms = [tensor for norm in self.norms.values() for tensor in (norm.gain, norm.shift)]
        return [*self.weights.values(), *norms, *self.biases.values()]

    @property
    def state(self) -> list[torch.Tensor]:
        """All that it learned."""
        followed = [t for norm in self.norms.values() for t in (norm.mean, norm.variance)]
        return [*self.trained, *followed]

    def features(self, x: torch.Tensor, training: bool) -> list[torch.Tensor]:
        """The taps (n, C, H, W) from the output of layer `start`; `IMAGE`: from the input."""
        values = {self.start: x}
        for index in range(self.start + 1, len(self.network.nodes)):
            values[index] = self._run(index, [values[s] for s in self._sources(index)], training)
        return [values[tap] for tap in self.network.taps]

    def layers(self) -> Network:
        """The network with what was learned as its weights, batch norms folded into them."""
        import torch

        nodes = list(self.network.nodes)
        for index, weights in self.weights.items():
            node = nodes[index]
            assert isinstance(node, Conv | DepthwiseConv)
            with torch.no_grad():
                if index in self.norms:
                    norm = self.norms[index]
                    factor = norm.gain / torch.sqrt(norm.variance + _EPSILON)
                    weights = weights * factor[:, None, None, None]
                    bias = norm.shift - norm.mean * factor
                else:
                    bias = self.biases[index]
                # Depthwise: (O, 1, KH, KW) to (KH, KW, O); else (O, I, KH, KW) to (O, KH, KW, I).
                is_depthwise = isinstance(node, DepthwiseConv)
                ordered = (
                    weights[:, 0].permute(1, 2, 0) if is_depthwise else weights.permute(0, 2, 3, 1)
                )
                own = np.ascontiguousarray(ordered.numpy())
                nodes[index] = replace(node, weights=own, bias=bias.numpy().copy())
        return replace(self.network, nodes=tuple(nodes))

    def _sources(self, index: int) -> Sequence[int]:
        return sources(self.network.nodes[index])

    def _run(self, index: int, inputs: Sequence[torch.Tensor], training: bool) -> torch.Tensor:
        from torch.nn import functional

        node = self.network.nodes[index]
        if not isinstance(node, Conv | DepthwiseConv):
            return run_node(node, inputs)
        y = convolve(node, inputs[0], self.weights[index], self.biases.get(index))
        if index in self.norms:
            norm = self.norms[index]
            y = functional.batch_norm(
                y,
                *(norm.mean, norm.variance, norm.gain, norm.shift),
                training=training,
                momentum=_MOMENTUM,
                eps=_EPSILON,
            )
        return limited(y, node.limits)


def draw_student(network: Network, start: int, seed: int) -> Student:
    """A student behind layer `start`: He et al.'s normal weights, norms that do nothing yet."""
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(seed)
    weights: dict[int, torch.Tensor] = {}
    norms: dict[int, Norm] = {}
    biases: dict[int, torch.Tensor] = {}
    pixels = _pixels(network)
    for index in range(start + 1, len(network.nodes)):
        node = network.nodes[index]
        if not isinstance(node, Conv | DepthwiseConv):
            continue
        drawn = torch.empty(torch_weights(node).shape)
        nn.init.kaiming_normal_(drawn, mode="fan_out", generator=generator)
        weights[index] = drawn.requires_grad_()
        channels = len(node.bias)
        if index in pixels:
            # Factors begin at the middle of what they may be.
            low, high = node.limits
            middle = (low + high) / 2 if isfinite(low) and isfinite(high) else 0.0
            biases[index] = torch.full((channels,), middle).requires_grad_()
        else:
            gain, shift = (
                t.requires_grad_() for t in (torch.ones(channels), torch.zeros(channels))
            )
            norms[index] = Norm(gain, shift, torch.zeros(channels), torch.ones(channels))
    return Student(network, start, weights, norms, biases)


def _pixels(network: Network) -> set[int]:
    """Nodes that a mean over the image makes, and what follows from such nodes alone."""
    found: set[int] = set()
    for index, node in enumerate(network.nodes):
        if isinstance(node, GlobalMean) or all(s in found for s in sources(node)):
            found.add(index)
    return found


def shared_start(network: Network) -> int:
    """The last layer before the first tap's block through which everything behind it goes.

    That is where a student may begin that shares its first layers with the teacher: `IMAGE` where
    there is none.
    """
    own = _block(network.nodes[network.taps[0]].name)
    best, reach = IMAGE, IMAGE
    oldest = [min(sources(node)) for node in network.nodes]
    for index in range(network.taps[0]):
        if _block(network.nodes[index].name) == own:
            break
        reach = min(oldest[index + 1 :])
        if reach >= index:
            best = index
    return best


def _block(name: str) -> str:
    """`layer1.0` of `layer1.0.conv1`."""
    return ".".join(name.split(".")[:2])
