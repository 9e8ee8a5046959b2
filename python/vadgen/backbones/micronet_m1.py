"""MicroNet-M1: micro-factorized convolutions, and activations that mix each channel with another.

Dynamic Shift-Max is `max_k(a_k x + b_k x')`, where x' is x with its channels moved by one group and
one place, and a small network of the mean over the image gives a and b. Its hard sigmoid of scale 4
less 1/2 is `min(max(2/3 y, -2), 2)`: the factor and the constants that are added lie in the last
layer's weights, the limits are its output's.

Source: Li et al., "MicroNet: Improving Image Recognition with Extremely Low FLOPs", 2021;
github.com/liyunsheng13/micronet, `backbone/micronet.py` with the settings of
`scripts/eval_micronet_m1.sh`. Taps count as its `features` do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vadgen.backbones.backbone import (
    IMAGENET_OFFSET,
    IMAGENET_SCALE,
    Backbone,
    Request,
    refuse_width,
    scaled_channels,
    weights_file,
)
from vadgen.backbones.layers import Layers
from vadgen.backbones.network import IMAGE, RELU, RELU6, Conv, Network, Pads
from vadgen.backbones.weights import Checkpoint, read_weights

_STEM_CHANNELS, _STEM_MULTIPLIER = 3, 2
_REDUCTION = 8
_REACH = 2.0
_SLOPE = 2.0 / 3.0
_NORM_EPSILON = 1e-5
_HINT = (
    "give --weights FILE: micronet-m1.pth, to which github.com/liyunsheng13/micronet links, or "
    "--weights random for a trial"
)


@dataclass(frozen=True)
class Block:
    """One block.

    Attributes:
        channels: of its output.
        kernel: side of the depthwise window, a column and then a row.
        stride: of the depthwise convolutions.
        expansion: of the channels inside.
        squeeze: groups of the pointwise convolution before the depthwise; 0 without it.
        spread: groups that the first shuffle and the inner activations see.
        groups: of the pointwise convolution behind the depthwise and of what follows; 0 where the
            block ends with the one before it.
        is_static: RELU6 in place of the inner activation.
        reduction: divides the hidden layer of the activations.
    """

    channels: int
    kernel: int
    stride: int
    expansion: tuple[int, int]
    squeeze: int
    spread: int
    groups: int
    is_static: bool = False
    reduction: int = 1


BLOCKS = (
    Block(8, 3, 2, (2, 2), 0, 6, 2, is_static=True),
    Block(16, 3, 2, (2, 2), 0, 8, 4),
    Block(16, 5, 2, (2, 2), 0, 16, 4),
    Block(32, 5, 1, (1, 6), 4, 4, 4),
    Block(64, 5, 2, (1, 6), 8, 8, 8),
    Block(96, 3, 1, (1, 6), 8, 8, 8, reduction=2),
    Block(576, 3, 1, (1, 6), 12, 12, 0, reduction=2),
)


def _shuffle(count: int, groups: int) -> list[int]:
    """Channels by their place in their group, and then by group."""
    order: list[int] = np.arange(count).reshape(groups, -1).T.reshape(-1).tolist()
    return order


def _shifted(count: int, groups: int) -> list[int]:
    """Each channel's partner: in the next group, the next place."""
    order = np.roll(np.arange(count).reshape(groups, -1), (-1, -1), axis=(0, 1))
    return [int(channel) for channel in order.reshape(-1)]


class _Builder(Layers):
    """`Layers` with the network's own."""

    def shuffled(self, name: str, source: int, *groups: int) -> int:
        """Shuffles one after the other."""
        order = list(range(self.channels(source)))
        for count in groups:
            order = [order[i] for i in _shuffle(len(order), count)]
        return self.gather(name, source, order)

    def separable(
        self,
        name: str,
        source: int,
        kernel: int,
        stride: int,
        expansion: tuple[int, int],
        is_static: bool = False,
    ) -> int:
        """A depthwise column, then a depthwise row."""
        side = kernel // 2
        x = self.depthwise(
            f"{name}.column",
            source,
            (kernel, 1),
            (stride, 1),
            Pads(side, side, 0, 0),
            multiplier=expansion[0],
        )
        return self.depthwise(
            f"{name}.row",
            x,
            (1, kernel),
            (1, stride),
            Pads(0, 0, side, side),
            **({"limits": RELU6} if is_static else {}),
            multiplier=expansion[1],
        )

    def shift_max(
        self, name: str, source: int, groups: int, reduction: int, offsets: Sequence[float]
    ) -> int:
        """Dynamic Shift-Max; offsets: of each pair (a, b), so their number is 2 or 4."""
        channels = self.channels(source)
        hidden = scaled_channels(channels // reduction, 4)
        mean = self.mean(f"{name}.mean", source)
        inner = self.conv(f"{name}.squeeze", mean, hidden, limits=RELU)
        weights, bias = self.weights.conv(
            f"{name}.factors", (channels * len(offsets), 1, 1, hidden)
        )
        factors = []
        for i, offset in enumerate(offsets):
            own = slice(i * channels, (i + 1) * channels)
            factor = Conv(
                f"{name}.factors.{i}",
                inner,
                weights[own] * np.float32(_SLOPE),
                bias[own] * np.float32(_SLOPE) + np.float32(offset),
                limits=(offset - _REACH, offset + _REACH),
            )
            factors.append(self.append(factor))
        partner = self.gather(f"{name}.partner", source, _shifted(channels, groups))
        sums = []
        for i in range(0, len(factors), 2):
            one = self.multiply(f"{name}.own.{i}", source, factors[i])
            other = self.multiply(f"{name}.other.{i}", partner, factors[i + 1])
            sums.append(self.add(f"{name}.sum.{i}", one, other))
        return sums[0] if len(sums) == 1 else self.maximum(f"{name}.max", sums[0], sums[1])

    def block(self, name: str, source: int, block: Block) -> int:
        """One block; none keeps its shape, so none has a skip."""
        reduction = _REDUCTION * block.reduction
        inner = self.channels(source) * block.expansion[0] * block.expansion[1]
        both, one = (1.0, 0.0, 1.0, 0.0), (1.0, 0.0)
        x = source
        if block.squeeze:
            x = self.conv(f"{name}.expand", x, inner, groups=block.squeeze)
            if not block.groups:
                return self.shift_max(f"{name}.expanded", x, block.spread, reduction, one)
            x = self.shift_max(f"{name}.expanded", x, block.spread, reduction, both)
            x = self.shuffled(f"{name}.expand_shuffle", x, block.spread)
            x = self.separable(f"{name}.depthwise", x, block.kernel, block.stride, (1, 1))
            groups = inner // block.spread
            x = self.shift_max(f"{name}.filtered", x, groups, reduction, both)
            x = self.shuffled(f"{name}.filter_shuffle", x, inner // 4)
        else:
            x = self.separable(
                f"{name}.depthwise", x, block.kernel, block.stride, block.expansion, block.is_static
            )
            shuffles = [block.spread]
            if not block.is_static:
                x = self.shift_max(f"{name}.filtered", x, block.spread, reduction, both)
                shuffles.append(inner // 2)
            x = self.shuffled(f"{name}.filter_shuffle", x, *shuffles)
        x = self.conv(f"{name}.project", x, block.channels, groups=block.groups)
        x = self.shift_max(f"{name}.projected", x, block.groups, reduction // 2, one)
        return self.shuffled(f"{name}.shuffle", x, block.groups, block.channels // 2)


def _build(request: Request) -> Network:
    refuse_width("micronet_m1", request.width)
    if request.random is not None:
        builder = _Builder(request.random)
    else:
        path = weights_file("micronet_m1", request.weights, _HINT)
        builder = _Builder(Checkpoint(path.name, read_weights(path), _keys, _NORM_EPSILON))
    side = Pads(1, 1, 0, 0), Pads(0, 0, 1, 1)
    x = builder.conv("features.0.column", IMAGE, _STEM_CHANNELS, (3, 1), (2, 1), side[0])
    x = builder.depthwise("features.0.row", x, (1, 3), (1, 2), side[1], RELU6, _STEM_MULTIPLIER)
    x = builder.shuffled("features.0.shuffle", x, _STEM_CHANNELS)
    for i, block in enumerate(BLOCKS):
        x = builder.block(f"features.{i + 1}", x, block)
    return builder.network("micronet_m1", IMAGENET_SCALE, IMAGENET_OFFSET)


def _keys(layer: str) -> tuple[str, str | None]:
    _, index, part, *rest = layer.split(".")
    if index == "0":
        first = 0 if part == "column" else 2
        return f"features.0.stem.0.conv.{first}", f"features.0.stem.0.conv.{first + 1}"
    is_expanded = BLOCKS[int(index) - 1].squeeze > 0
    places = {
        "expand": 0,
        "expanded": 1,
        "depthwise": 3 if is_expanded else 0,
        "filtered": 5 if is_expanded else 1,
        "project": 7 if is_expanded else 4,
        "projected": 8 if is_expanded else 5,
    }
    prefix = f"features.{index}.layers.{places[part]}"
    if rest and rest[0] in ("squeeze", "factors"):
        return f"{prefix}.fc.{0 if rest[0] == 'squeeze' else 2}", None
    first = 2 if rest == ["row"] else 0
    return f"{prefix}.conv.{first}", f"{prefix}.conv.{first + 1}"


BACKBONE = Backbone(
    summary="weights from a file; 16 + 32 + 64 channels at strides 8, 16, 32",
    default_taps=(2, 4, 5),
    n_taps=len(BLOCKS) + 1,
    tap_node=lambda tap: f"features.{tap}",
    build=_build,
)
