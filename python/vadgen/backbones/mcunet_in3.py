"""MCUNet `mcunet-in3`: found by search for 320 KB of SRAM and 1 MB of flash, at 176 x 176.

Source: Lin et al., "MCUNet: Tiny Deep Learning on IoT Devices", 2020; the model zoo of
github.com/mit-han-lab/mcunet, `mcunet-320kb-1mb_imagenet`. Taps count as its `blocks` do.
"""

from __future__ import annotations

from vadgen.backbones.backbone import Backbone, Request, refuse_width, weights_file
from vadgen.backbones.inverted import Layout, Stage, build
from vadgen.backbones.network import Network
from vadgen.backbones.weights import Checkpoint, WeightSource, read_weights

LAYOUT = Layout(
    stem=16,
    stages=(
        Stage(1, 8, 1, 1),
        Stage(3, 16, 1, 2, 7),
        Stage(5, 16, 1, 1, 3),
        Stage(5, 16, 1, 1, 7),
        Stage(4, 16, 1, 1, 5),
        Stage(5, 24, 1, 2, 5),
        Stage(5, 24, 2, 1, 5),
        Stage(5, 40, 1, 2, 3),
        Stage(6, 40, 1, 1, 7),
        Stage(4, 40, 1, 1, 5),
        Stage(5, 48, 1, 1, 5),
        Stage(5, 48, 1, 1, 7),
        Stage(5, 48, 1, 1, 3),
        Stage(6, 96, 1, 2, 3),
        Stage(5, 96, 1, 1, 7),
        Stage(4, 96, 1, 1, 3),
        Stage(5, 160, 1, 1, 7),
    ),
    head=0,
    is_padded_evenly=True,
)
_NORM_EPSILON = 1e-5
_HINT = (
    "give --weights FILE: mcunet-320kb-1mb_imagenet.pth of the model zoo of "
    "github.com/mit-han-lab/mcunet, or --weights random for a trial"
)
_LAYERS = {"expand": "inverted_bottleneck", "depthwise": "depth_conv", "project": "point_linear"}


def _build(request: Request) -> Network:
    refuse_width("mcunet_in3", request.width)
    weights: WeightSource
    if request.random is not None:
        weights = request.random
    else:
        path = weights_file("mcunet_in3", request.weights, _HINT)
        weights = Checkpoint(path.name, read_weights(path), _keys, _NORM_EPSILON)
    return build("mcunet_in3", LAYOUT, weights, scale=(1 / 127.5,) * 3, offset=(-1.0,) * 3)


def _keys(layer: str) -> tuple[str, str]:
    if layer == "stem":
        return "first_conv.conv", "first_conv.bn"
    _, block, part = layer.split(".")
    prefix = f"blocks.{block}.mobile_inverted_conv.{_LAYERS[part]}"
    return f"{prefix}.conv", f"{prefix}.bn"


BACKBONE = Backbone(
    summary="weights from a file; 16 + 24 + 40 channels at strides 4, 8, 16",
    default_taps=(3, 6, 9),
    n_taps=sum(stage.repeats for stage in LAYOUT.stages),
    tap_node=lambda tap: f"blocks.{tap}",
    build=_build,
)
