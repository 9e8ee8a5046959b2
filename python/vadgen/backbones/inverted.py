"""Networks of inverted residual blocks: expand 1x1, depthwise, project 1x1, add.

Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vadgen.backbones.layers import Layers, even_pads
from vadgen.backbones.network import IMAGE, RELU6, Network, Padding
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
    layers = Layers(weights)

    def padding(kernel: int) -> Padding:
        return even_pads(kernel) if layout.is_padded_evenly else "SAME"

    last = layers.conv("stem", IMAGE, layout.stem, 3, 2, padding(3), RELU6)
    block = 0
    for stage in layout.stages:
        for repeat in range(stage.repeats):
            prefix = f"blocks.{block}"
            block += 1
            n_in = layers.channels(last)
            stride = stage.stride if repeat == 0 else 1
            inner = last
            if stage.expansion != 1:
                expanded = n_in * stage.expansion
                inner = layers.conv(f"{prefix}.expand", last, expanded, limits=RELU6)
            around = padding(stage.kernel)
            inner = layers.depthwise(
                f"{prefix}.depthwise", inner, stage.kernel, stride, around, RELU6
            )
            inner = layers.conv(f"{prefix}.project", inner, stage.channels)
            if stride == 1 and n_in == stage.channels:
                inner = layers.add(f"{prefix}.add", last, inner)
            last = inner
    if layout.head:
        layers.conv("head", last, layout.head, limits=RELU6)
    return layers.network(name, scale, offset)
