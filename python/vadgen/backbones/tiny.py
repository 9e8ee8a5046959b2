"""A network of some 3,000 random weights with every kind of layer: for tests and first steps."""

from __future__ import annotations

from dataclasses import replace

from vadgen.backbones.backbone import Backbone, Request, scaled_channels
from vadgen.backbones.inverted import Layout, Stage, build
from vadgen.backbones.network import Network
from vadgen.errors import VadgenError

_LAYOUT = Layout(stem=8, stages=(Stage(1, 8, 1, 2), Stage(3, 16, 2, 2)), head=0)


def _build(request: Request) -> Network:
    if request.random is None:
        raise VadgenError("backbone tiny takes no weights file", "leave --weights out")
    layout = replace(
        _LAYOUT,
        stem=scaled_channels(_LAYOUT.stem * request.width),
        stages=tuple(
            replace(stage, channels=scaled_channels(stage.channels * request.width))
            for stage in _LAYOUT.stages
        ),
    )
    return build("tiny", layout, request.random, scale=(1 / 128,) * 3, offset=(-127 / 128,) * 3)


BACKBONE = Backbone(
    summary="random weights, for tests; 8 + 16 channels at strides 4 and 8",
    default_taps=(0, 2),
    n_taps=sum(stage.repeats for stage in _LAYOUT.stages),
    tap_node=lambda tap: f"blocks.{tap}",
    build=_build,
    is_pretrained=False,
)
