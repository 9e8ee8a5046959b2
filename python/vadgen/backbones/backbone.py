"""What a backbone's module declares, so that `load_backbone` can find and build it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vadgen.backbones.network import Network
from vadgen.backbones.weights import WeightSource
from vadgen.errors import Exit, VadgenError


@dataclass(frozen=True)
class Request:
    """Which weights to build a backbone with.

    Attributes:
        width: multiplier of its channels.
        weights: a file; None for the published ones.
        random: makes the weights when given, `weights` is then None.
    """

    width: float = 1.0
    weights: Path | None = None
    random: WeightSource | None = None


@dataclass(frozen=True)
class Backbone:
    """A family of networks; each module of this package that is one has its `BACKBONE`.

    Attributes:
        summary: one line for lists.
        default_taps: numbers of the layers tapped by default, finest first.
        n_taps: taps are numbered from 0 to `n_taps - 1`, in the publisher's counting.
        tap_node: gives a tap's node, or the prefix of its block's nodes.
        build: makes the whole network, without taps.
        is_pretrained: has published weights; otherwise they are random unless a file is given.
    """

    summary: str
    default_taps: tuple[int, ...]
    n_taps: int
    tap_node: Callable[[int], str]
    build: Callable[[Request], Network]
    is_pretrained: bool = True


IMAGENET_SCALE = tuple(1 / (255 * deviation) for deviation in (0.229, 0.224, 0.225))
"""With `IMAGENET_OFFSET`: less ImageNet's mean, over its deviation, of bytes in [0, 1]."""
IMAGENET_OFFSET = (-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225)


def refuse_width(name: str, width: float) -> None:
    """For networks that have one width.

    Raises:
        VadgenError: another is asked for.
    """
    if width != 1.0:
        raise VadgenError(
            f"backbone {name} has no width {width:g}",
            "leave the width at 1.0, or take --backbone mobilenet_v2",
        )


def weights_file(name: str, file: Path | None, hint: str) -> Path:
    """The file given.

    Raises:
        VadgenError: none is; `hint` says where the publisher keeps it.
    """
    if file is None:
        raise VadgenError(f"the weights of {name} are not brought along", hint, Exit.TOOL_MISSING)
    return file


def scaled_channels(channels: float, divisor: int = 8) -> int:
    """Nearest multiple of `divisor`, at least one, never more than 10 % below.

    Source: TensorFlow models, `slim/nets/mobilenet/mobilenet.py`, `_make_divisible`.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
