"""MobileNetV2 of any width; taps count as torchvision's `features` do.

Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018.
"""

from __future__ import annotations

from dataclasses import replace

from vadgen.backbones.backbone import (
    IMAGENET_OFFSET,
    IMAGENET_SCALE,
    Backbone,
    Request,
    scaled_channels,
)
from vadgen.backbones.inverted import Layout, Stage, build
from vadgen.backbones.network import Network
from vadgen.backbones.weights import (
    Checkpoint,
    FoldedArrays,
    WeightSource,
    download,
    read_weights,
)
from vadgen.errors import VadgenError

STAGES = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)
_N_BLOCKS = sum(stage.repeats for stage in STAGES)
_NORM_EPSILON = 1e-5
# torchvision's MobileNet_V2_Weights.IMAGENET1K_V1; the name carries the digest's first digits.
_URL = "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth"
_SHA256 = "b0353104"
_FILE_HINT = (
    "give --weights FILE: torchvision's mobilenet_v2 state dict (.pth), or Keras layers with "
    "batch norm folded (.npz)"
)


def layout(width: float) -> Layout:
    """Layers at a width; the head never gets narrower than 1280."""
    return Layout(
        stem=scaled_channels(32 * width),
        stages=tuple(replace(s, channels=scaled_channels(s.channels * width)) for s in STAGES),
        head=scaled_channels(1280 * max(width, 1.0)),
    )


def _build(request: Request) -> Network:
    if request.random is not None:
        return _keras(request.width, request.random)
    if request.weights is None and request.width != 1.0:
        raise VadgenError(
            f"there are no published weights of mobilenet_v2 at width {request.width:g}",
            _FILE_HINT,
        )
    path = request.weights or download(_URL, _SHA256, _FILE_HINT)
    arrays = read_weights(path)
    if "Conv1/kernel" in arrays:
        return _keras(request.width, FoldedArrays(path.name, arrays, _keras_key))
    checkpoint = Checkpoint(path.name, arrays, _torchvision_keys, _NORM_EPSILON)
    return build(
        "mobilenet_v2",
        replace(layout(request.width), is_padded_evenly=True),
        checkpoint,
        scale=IMAGENET_SCALE,
        offset=IMAGENET_OFFSET,
    )


def _keras(width: float, weights: WeightSource) -> Network:
    """As Keras trains it: the image in [-1, 1], TensorFlow's padding."""
    return build("mobilenet_v2", layout(width), weights, scale=(1 / 127.5,) * 3, offset=(-1.0,) * 3)


def _keras_key(layer: str) -> str:
    if layer in ("stem", "head"):
        return "Conv1" if layer == "stem" else "Conv_1"
    _, block, part = layer.split(".")
    return f"expanded_conv_{part}" if block == "0" else f"block_{block}_{part}"


def _torchvision_keys(layer: str) -> tuple[str, str]:
    if layer in ("stem", "head"):
        feature = 0 if layer == "stem" else _N_BLOCKS + 1
        return f"features.{feature}.0", f"features.{feature}.1"
    _, block, part = layer.split(".")
    prefix = f"features.{int(block) + 1}.conv"
    first = 0 if block == "0" else 1  # The first block does not expand.
    if part == "expand":
        return f"{prefix}.0.0", f"{prefix}.0.1"
    if part == "depthwise":
        return f"{prefix}.{first}.0", f"{prefix}.{first}.1"
    return f"{prefix}.{first + 1}", f"{prefix}.{first + 2}"


def _tap_node(tap: int) -> str:
    if tap == 0:
        return "stem"
    return f"blocks.{tap - 1}" if tap <= _N_BLOCKS else "head"


BACKBONE = Backbone(
    summary="any width; weights from torchvision or a file; 32 + 64 + 64 channels",
    default_taps=(4, 7, 10),
    n_taps=_N_BLOCKS + 2,
    tap_node=_tap_node,
    build=_build,
)
