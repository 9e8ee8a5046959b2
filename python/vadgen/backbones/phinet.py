"""PhiNet with width 1.2, shape factor 0.5, expansion 6, and a third downsampling in block 4.

Source: Paissan et al., "PhiNets: a scalable backbone for low-power AI at the edge", 2022;
github.com/micromind-toolkit/micromind, `networks/phinet.py`. Taps count as its `_layers` do: 0 is
the padding, 1 the stem, 2 to 9 the blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

from vadgen.backbones.backbone import (
    IMAGENET_OFFSET,
    IMAGENET_SCALE,
    Backbone,
    Request,
    refuse_width,
    scaled_channels,
    weights_file,
)
from vadgen.backbones.layers import Layers, even_pads
from vadgen.backbones.network import IMAGE, Network
from vadgen.backbones.weights import Checkpoint, WeightSource, read_weights

_STEM, _FIRST, _SECOND = 48, 24, 48
_SQUEEZE = 6
_NORM_EPSILON = 1e-3
_FIRST_BLOCK = 2
_HINT = (
    "give --weights FILE: a state dict of micromind's PhiNet with num_layers=7, alpha=1.2, "
    "beta=0.5, t_zero=6, downsampling_layers=[4, 5, 7], divisor=8, or --weights random for a trial"
)


@dataclass(frozen=True)
class Layout:
    """The parameters of micromind's PhiNet, with its names' meaning.

    Attributes:
        width: `alpha`, multiplier of channels.
        shape: `beta`, the last block's expansion over the first's.
        expansion: `t_zero`.
        downsampling: blocks that halve the image and double the channels, beside the stem and
            blocks 1 and 3.
        divisor: of all numbers of channels.
        blocks: `num_layers`.
    """

    width: float
    shape: float
    expansion: float
    downsampling: tuple[int, ...]
    divisor: int = 8
    blocks: int = 7

    def channels(self, base: float) -> int:
        """Channels at this width."""
        return scaled_channels(int(base * self.width), self.divisor)

    def expanded(self, block: int, channels: int) -> int:
        """Channels inside a block: the expansion falls from the first to the last."""
        last, n = self.expansion * self.shape, self.blocks
        factor = last * block / n + self.expansion * (n - block) / n
        return scaled_channels(int(factor * channels), self.divisor)


LAYOUT = Layout(width=1.2, shape=0.5, expansion=6, downsampling=(4, 5, 7))


def build(layout: Layout, weights: WeightSource) -> Network:
    """The network without its classifier."""
    layers = Layers(weights)
    x = layers.depthwise("stem.depthwise", IMAGE, 3, 2)
    x = layers.conv("stem.pointwise", x, layout.channels(_STEM))
    x = layers.hard_swish("stem.swish", x)
    x = _block(layers, "blocks.0", x, layout, layout.channels(_FIRST), 1, None)
    base = _SECOND
    for block in range(1, layout.blocks + 1):
        if block > 3 and block in layout.downsampling:
            base *= 2
        out = layout.channels(_FIRST if block < 3 else base)
        stride = 2 if block in (1, 3) or (block > 3 and block in layout.downsampling) else 1
        inner = layout.expanded(block, layers.channels(x))
        x = _block(layers, f"blocks.{block}", x, layout, out, stride, inner)
    return layers.network("phinet", IMAGENET_SCALE, IMAGENET_OFFSET)


def _block(
    layers: Layers,
    prefix: str,
    source: int,
    layout: Layout,
    out: int,
    stride: int,
    expanded: int | None,
) -> int:
    """Expand, depthwise, squeeze-and-excitation, project, add; the first block only the middle."""
    x = source
    if expanded is not None:
        x = layers.conv(f"{prefix}.expand", x, expanded)
        x = layers.hard_swish(f"{prefix}.expand_swish", x)
    x = layers.depthwise(f"{prefix}.depthwise", x, 3, stride, even_pads(3))
    x = layers.hard_swish(f"{prefix}.depthwise_swish", x)
    if expanded is not None:
        squeezed = scaled_channels(max(1, int(layers.channels(x) / _SQUEEZE)), layout.divisor)
        gate = layers.mean(f"{prefix}.mean", x)
        gate = layers.conv(f"{prefix}.squeeze", gate, squeezed)
        gate = layers.hard_swish(f"{prefix}.squeeze_swish", gate)
        gate = layers.conv(f"{prefix}.excite", gate, layers.channels(x))
        gate = layers.sigmoid(f"{prefix}.gate", gate)
        x = layers.multiply(f"{prefix}.scale", x, gate)
    x = layers.conv(f"{prefix}.project", x, out)
    if stride == 1 and layers.channels(source) == out:
        x = layers.add(f"{prefix}.add", x, source)
    return x


def _build(request: Request) -> Network:
    refuse_width("phinet", request.width)
    if request.random is not None:
        return build(LAYOUT, request.random)
    path = weights_file("phinet", request.weights, _HINT)
    return build(LAYOUT, Checkpoint(path.name, read_weights(path), _keys, _NORM_EPSILON))


def _keys(layer: str) -> tuple[str, str | None]:
    if layer == "stem.depthwise":
        return "_layers.1._layers.0", None
    if layer == "stem.pointwise":
        return "_layers.1._layers.1", "_layers.1._layers.2"
    _, block, part = layer.split(".")
    prefix = f"_layers.{int(block) + _FIRST_BLOCK}._layers"
    if block == "0":
        places = {"depthwise": (1, 2), "project": (4, 5)}
    elif part in ("squeeze", "excite"):
        return f"{prefix}.7.se_conv{'' if part == 'squeeze' else '2'}", None
    else:
        places = {"expand": (0, 1), "depthwise": (4, 5), "project": (8, 9)}
    conv, norm = places[part]
    return f"{prefix}.{conv}", f"{prefix}.{norm}"


BACKBONE = Backbone(
    summary="weights from a file; 32 + 112 + 232 channels at strides 2, 16, 32",
    default_taps=(2, 6, 7),
    n_taps=_FIRST_BLOCK + LAYOUT.blocks + 1,
    tap_node=lambda tap: "stem" if tap < _FIRST_BLOCK else f"blocks.{tap - _FIRST_BLOCK}",
    build=_build,
)
