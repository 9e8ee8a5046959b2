"""Networks of inverted residual blocks: expand 1x1, depthwise, project 1x1, add.

Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadgen.backbones.network import (
    IMAGE,
    Add,
    Conv,
    DepthwiseConv,
    Network,
    Node,
    Padding,
    Pads,
)
from vadgen.backbones.weights import WeightSource


@dataclass(frozen=True)
class Stage:
    """`repeats` blocks: the first has the stride, the others an identity around them."""

    expansion: int
    channels: int
    repeats: int
    stride: int
    kernel: int = 3


@dataclass(frozen=True)
class Layout:
    """A 3x3 stem of stride 2, stages, and a 1x1 head (0 channels: none).

    Layers are called `stem`, `blocks.I.expand`, `.depthwise`, `.project`, `.add`, and `head`.
    """

    stem: int
    stages: tuple[Stage, ...]
    head: int
    is_padded_evenly: bool = False
    """PyTorch's padding of (k - 1) / 2 on all sides, in place of TensorFlow's SAME."""


def build(
    name: str,
    layout: Layout,
    weights: WeightSource,
    scale: Sequence[float],
    offset: Sequence[float],
) -> Network:
    """Build the whole network; no taps yet.

    Args:
        name: of the backbone.
        layout: its layers.
        weights: where each layer's weights come from.
        scale: per channel, the network sees `scale * byte + offset`.
        offset: per channel.
    """
    nodes: list[Node] = []

    def conv(layer: str, source: int, kernel: int, out: int, stride: int, relu6: bool) -> int:
        n_in = 3 if source == IMAGE else _channels(nodes, source)
        values, bias = weights.conv(layer, (out, kernel, kernel, n_in))
        padding = _padding(layout, kernel)
        nodes.append(Conv(layer, source, values, bias, stride, padding, relu6))
        return len(nodes) - 1

    def depthwise(layer: str, source: int, kernel: int, stride: int) -> int:
        values, bias = weights.depthwise(layer, (kernel, kernel, _channels(nodes, source)))
        padding = _padding(layout, kernel)
        nodes.append(DepthwiseConv(layer, source, values, bias, stride, padding, relu6=True))
        return len(nodes) - 1

    last = conv("stem", IMAGE, 3, layout.stem, 2, relu6=True)
    block = 0
    for stage in layout.stages:
        for repeat in range(stage.repeats):
            prefix = f"blocks.{block}"
            block += 1
            n_in = _channels(nodes, last)
            stride = stage.stride if repeat == 0 else 1
            inner = last
            if stage.expansion != 1:
                inner = conv(f"{prefix}.expand", last, 1, n_in * stage.expansion, 1, relu6=True)
            inner = depthwise(f"{prefix}.depthwise", inner, stage.kernel, stride)
            inner = conv(f"{prefix}.project", inner, 1, stage.channels, 1, relu6=False)
            if stride == 1 and n_in == stage.channels:
                nodes.append(Add(f"{prefix}.add", (last, inner)))
                inner = len(nodes) - 1
            last = inner
    if layout.head:
        conv("head", last, 1, layout.head, 1, relu6=True)
    return Network(name, _three(scale), _three(offset), tuple(nodes), ())


def _padding(layout: Layout, kernel: int) -> Padding:
    side = kernel // 2
    return Pads(side, side, side, side) if layout.is_padded_evenly else "SAME"


def _channels(nodes: Sequence[Node], index: int) -> int:
    node = nodes[index]
    if isinstance(node, Add):
        return _channels(nodes, node.sources[0])
    assert isinstance(node, Conv | DepthwiseConv)
    return len(node.bias)


def _three(values: Sequence[float]) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)
