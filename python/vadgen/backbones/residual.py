"""Residual networks as torchvision has them; taps count as `layer1` to `layer4` do.

Source: He et al., "Deep Residual Learning for Image Recognition", 2016; Zagoruyko and Komodakis,
"Wide Residual Networks", 2016.
"""

from __future__ import annotations

from dataclasses import dataclass

from vadgen.backbones.backbone import (
    IMAGENET_OFFSET,
    IMAGENET_SCALE,
    Backbone,
    Request,
    refuse_width,
)
from vadgen.backbones.layers import Layers, even_pads
from vadgen.backbones.network import IMAGE, RELU, Network
from vadgen.backbones.weights import Checkpoint, WeightSource, download, read_weights

_NORM_EPSILON = 1e-5
_STAGE_CHANNELS = (64, 128, 256, 512)


@dataclass(frozen=True)
class Layout:
    """Blocks of a residual network.

    Attributes:
        repeats: blocks of each of the four stages.
        bottleneck: channels of the 3x3 convolution over the stage's 64 to 512, with 1x1
            convolutions around it; 0 for two 3x3 convolutions.
        expansion: channels of a block's output over the stage's.
    """

    repeats: tuple[int, int, int, int]
    bottleneck: int = 0
    expansion: int = 1


def build(name: str, layout: Layout, weights: WeightSource) -> Network:
    """The network without its classifier; layers are called as in torchvision's state dict."""
    layers = Layers(weights)
    x = layers.conv("conv1", IMAGE, 64, 7, 2, even_pads(7), RELU)
    x = layers.max_pool("maxpool", x, 3, 2, even_pads(3))
    for stage, (channels, repeats) in enumerate(zip(_STAGE_CHANNELS, layout.repeats, strict=True)):
        for repeat in range(repeats):
            stride = 2 if repeat == 0 and stage > 0 else 1
            x = _block(layers, f"layer{stage + 1}.{repeat}", x, layout, channels, stride)
    return layers.network(name, IMAGENET_SCALE, IMAGENET_OFFSET)


def _block(
    layers: Layers, prefix: str, source: int, layout: Layout, channels: int, stride: int
) -> int:
    out = channels * layout.expansion
    if layout.bottleneck:
        inner = channels * layout.bottleneck
        y = layers.conv(f"{prefix}.conv1", source, inner, limits=RELU)
        y = layers.conv(f"{prefix}.conv2", y, inner, 3, stride, even_pads(3), RELU)
        y = layers.conv(f"{prefix}.conv3", y, out)
    else:
        y = layers.conv(f"{prefix}.conv1", source, out, 3, stride, even_pads(3), RELU)
        y = layers.conv(f"{prefix}.conv2", y, out, 3, 1, even_pads(3))
    shortcut = source
    if stride != 1 or layers.channels(source) != out:
        shortcut = layers.conv(f"{prefix}.downsample", source, out, 1, stride, even_pads(1))
    return layers.add(f"{prefix}.add", y, shortcut, RELU)


def backbone(name: str, layout: Layout, url: str, sha256: str) -> Backbone:
    """A member of the family, with torchvision's weights."""

    def make(request: Request) -> Network:
        refuse_width(name, request.width)
        if request.random is not None:
            return build(name, layout, request.random)
        hint = f"give --weights FILE: torchvision's {name} state dict (.pth)"
        path = request.weights or download(url, sha256, hint)
        checkpoint = Checkpoint(path.name, read_weights(path), _keys, _NORM_EPSILON)
        return build(name, layout, checkpoint)

    channels = " + ".join(str(c * layout.expansion) for c in _STAGE_CHANNELS[:3])
    return Backbone(
        summary=f"weights from torchvision or a file; {channels} channels at strides 4, 8, 16",
        default_taps=(0, 1, 2),
        n_taps=len(_STAGE_CHANNELS),
        tap_node=lambda tap: f"layer{tap + 1}",
        build=make,
    )


def _keys(layer: str) -> tuple[str, str]:
    if layer.endswith("downsample"):
        return f"{layer}.0", f"{layer}.1"
    head, _, number = layer.rpartition("conv")
    return layer, f"{head}bn{number}"
