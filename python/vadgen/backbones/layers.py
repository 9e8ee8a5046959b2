"""Builds networks layer by layer: a method a node, each gives the node's index."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vadgen.backbones.network import (
    IMAGE,
    LINEAR,
    Add,
    Conv,
    DepthwiseConv,
    Gather,
    GlobalMean,
    Limits,
    Maximum,
    MaxPool,
    Multiply,
    Network,
    Node,
    Padding,
    Pads,
    Unary,
    sources,
)
from vadgen.backbones.weights import WeightSource


def even_pads(kernel: int) -> Pads:
    """PyTorch's padding of (k - 1) / 2 on all sides."""
    side = kernel // 2
    return Pads(side, side, side, side)


class Layers:
    """Collects nodes; weights come from a source by the layer's name."""

    def __init__(self, weights: WeightSource) -> None:
        self.weights = weights
        self.nodes: list[Node] = []

    def network(self, name: str, scale: Sequence[float], offset: Sequence[float]) -> Network:
        """The network without taps, which sees `scale * byte + offset`."""
        scales, offsets = np.asarray(scale, np.float32), np.asarray(offset, np.float32)
        return Network(name, scales, offsets, tuple(self.nodes), ())

    def append(self, node: Node) -> int:
        """Add a node; gives its index."""
        self.nodes.append(node)
        return len(self.nodes) - 1

    def channels(self, index: int) -> int:
        """Channels of a node's output."""
        if index == IMAGE:
            return 3
        node = self.nodes[index]
        if isinstance(node, Conv | DepthwiseConv):
            return len(node.bias)
        if isinstance(node, Gather):
            return len(node.channels)
        return self.channels(sources(node)[0])

    def conv(
        self,
        name: str,
        source: int,
        out: int,
        kernel: int | tuple[int, int] = 1,
        stride: int | tuple[int, int] = 1,
        padding: Padding = "SAME",
        limits: Limits = LINEAR,
        groups: int = 1,
    ) -> int:
        """Add a convolution."""
        shape = (out, *_pair(kernel), self.channels(source) // groups)
        values, bias = self.weights.conv(name, shape)
        node = Conv(name, source, values, bias, _pair(stride), padding, limits, groups)
        return self.append(node)

    def depthwise(
        self,
        name: str,
        source: int,
        kernel: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: Padding = "SAME",
        limits: Limits = LINEAR,
        multiplier: int = 1,
    ) -> int:
        """Add a depthwise convolution."""
        shape = (*_pair(kernel), self.channels(source) * multiplier)
        values, bias = self.weights.depthwise(name, shape)
        node = DepthwiseConv(name, source, values, bias, _pair(stride), padding, limits)
        return self.append(node)

    def add(self, name: str, left: int, right: int, limits: Limits = LINEAR) -> int:
        """Add a sum."""
        return self.append(Add(name, (left, right), limits))

    def multiply(self, name: str, left: int, right: int) -> int:
        """Add a product."""
        return self.append(Multiply(name, (left, right)))

    def maximum(self, name: str, left: int, right: int) -> int:
        """Add a maximum of two."""
        return self.append(Maximum(name, (left, right)))

    def max_pool(self, name: str, source: int, size: int, stride: int, padding: Padding) -> int:
        """Add a maximum over windows."""
        return self.append(MaxPool(name, source, size, (stride, stride), padding))

    def mean(self, name: str, source: int) -> int:
        """Add a mean over all pixels."""
        return self.append(GlobalMean(name, source))

    def hard_swish(self, name: str, source: int) -> int:
        """Add a hard swish."""
        return self.append(Unary(name, source, "HARD_SWISH"))

    def sigmoid(self, name: str, source: int) -> int:
        """Add a sigmoid."""
        return self.append(Unary(name, source, "LOGISTIC"))

    def gather(self, name: str, source: int, channels: Sequence[int]) -> int:
        """Add a choice of channels; none where they stay as they are."""
        if list(channels) == list(range(self.channels(source))):
            return source
        return self.append(Gather(name, source, tuple(int(c) for c in channels)))


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value
