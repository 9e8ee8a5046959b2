"""A float network as frozen values, batch norm folded, and its forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

IMAGE = -1
"""Index of the input image where a node's index is wanted."""


@dataclass(frozen=True)
class Pads:
    """Zeros around an image, in pixels."""

    top: int
    bottom: int
    left: int
    right: int


_CHUNK = 8
"""Images in one pass: as fast as more, and a few hundred megabytes at 224 x 224."""

Padding = Literal["SAME"] | Pads
Limits = tuple[float, float]
LINEAR: Limits = (-math.inf, math.inf)
RELU: Limits = (0.0, math.inf)
RELU6: Limits = (0.0, 6.0)


@dataclass(frozen=True, eq=False)
class Conv:
    """Convolution, then min(max(y, low), high).

    Attributes:
        name: unique in its network.
        source: index of the input node, `IMAGE` for the image.
        weights: float32 (O, KH, KW, I / groups).
        bias: float32 (O,).
        stride: pixels, down and across.
        padding: "SAME" as TensorFlow means it (the odd zero below and right), or zeros by side.
        limits: low and high.
        groups: output channels see the input channels of their group alone.
    """

    name: str
    source: int
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    stride: tuple[int, int] = (1, 1)
    padding: Padding = "SAME"
    limits: Limits = LINEAR
    groups: int = 1


@dataclass(frozen=True, eq=False)
class DepthwiseConv:
    """Convolution of each channel by itself into one or more; otherwise `Conv`.

    Attributes:
        weights: float32 (KH, KW, I * multiplier), a channel's outputs next to each other.
    """

    name: str
    source: int
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    stride: tuple[int, int] = (1, 1)
    padding: Padding = "SAME"
    limits: Limits = LINEAR


@dataclass(frozen=True)
class Add:
    """Sum of two nodes, then min(max(y, low), high)."""

    name: str
    sources: tuple[int, int]
    limits: Limits = LINEAR


@dataclass(frozen=True)
class Multiply:
    """Product of two nodes; the second may be one pixel, which multiplies every pixel."""

    name: str
    sources: tuple[int, int]


@dataclass(frozen=True)
class Maximum:
    """The greater of two nodes, value by value."""

    name: str
    sources: tuple[int, int]


@dataclass(frozen=True)
class AveragePool:
    """Mean over `size` x `size` pixels, stride `size`; what is left over at the edge is dropped."""

    name: str
    source: int
    size: int


@dataclass(frozen=True)
class MaxPool:
    """Maximum of a window; the zeros around its input count, which is never negative."""

    name: str
    source: int
    size: int
    stride: tuple[int, int]
    padding: Padding = "SAME"


@dataclass(frozen=True)
class GlobalMean:
    """Mean over all pixels: one pixel."""

    name: str
    source: int


@dataclass(frozen=True)
class Unary:
    """x * min(max(x + 3, 0), 6) / 6, or 1 / (1 + exp(-x))."""

    name: str
    source: int
    kind: Literal["HARD_SWISH", "LOGISTIC"]


@dataclass(frozen=True)
class Gather:
    """Output channel i is input channel `channels[i]`."""

    name: str
    source: int
    channels: tuple[int, ...]


Binary = Add | Multiply | Maximum
Windowed = Conv | DepthwiseConv | MaxPool
Node = Binary | Windowed | AveragePool | GlobalMean | Unary | Gather


@dataclass(frozen=True, eq=False)
class Network:
    """Nodes in order of execution; a node reads the image or nodes before it.

    Attributes:
        name: of the backbone.
        scale: float32 (3,), the network sees `scale[c] * byte + offset[c]` of an RGB image.
        offset: float32 (3,).
        nodes: the network.
        taps: indices of the nodes that are its outputs, finest first.
    """

    name: str
    scale: NDArray[np.float32]
    offset: NDArray[np.float32]
    nodes: tuple[Node, ...]
    taps: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Head:
    """What to put behind a tap: mean over `pool` x `pool` pixels, then y = x @ matrix + bias.

    Attributes:
        tap: position in `Network.taps`.
        pool: side of the mean, 1 for none.
        matrix: float32 (C, D), or None.
        bias: float32 (D,), or None for zeros.
    """

    tap: int
    pool: int = 1
    matrix: NDArray[np.float32] | None = None
    bias: NDArray[np.float32] | None = None


def sources(node: Node) -> tuple[int, ...]:
    """Indices of the nodes that a node reads."""
    return node.sources if isinstance(node, Binary) else (node.source,)


def trim(network: Network) -> Network:
    """Drop the nodes that no tap needs."""
    needed = set(network.taps)
    for index in range(len(network.nodes) - 1, -1, -1):
        if index in needed:
            needed.update(sources(network.nodes[index]))
    kept = sorted(needed - {IMAGE})
    place = {old: new for new, old in enumerate(kept)} | {IMAGE: IMAGE}
    nodes = [moved(network.nodes[old], place) for old in kept]
    return replace(network, nodes=tuple(nodes), taps=tuple(place[tap] for tap in network.taps))


def moved(node: Node, place: Mapping[int, int]) -> Node:
    """The node with its sources where `place` says that they are now."""
    if isinstance(node, Binary):
        left, right = node.sources
        return replace(node, sources=(place[left], place[right]))
    return replace(node, source=place[node.source])


def twins(teacher: Network, student: Network, start: int) -> Network:
    """Two networks of the same layers as one; they share those up to the teacher's `start`.

    Behind it a layer of the student follows each of the teacher's, so that rows of both are there
    at the same time. The taps are the teacher's, then the student's.

    Args:
        teacher: a backbone.
        student: the same layers with other weights; those up to `start` are not looked at.
        start: index of the last layer that is shared, `IMAGE` for none.
    """
    shared = {index: index for index in range(IMAGE, start + 1)}
    nodes = list(teacher.nodes[: start + 1])
    places = dict(shared), dict(shared)
    for index in range(start + 1, len(teacher.nodes)):
        for network, place in zip((teacher, student), places, strict=True):
            place[index] = len(nodes)
            nodes.append(moved(network.nodes[index], place))
        nodes[-1] = replace(nodes[-1], name=f"student.{nodes[-1].name}")
    taps = tuple(place[tap] for place in places for tap in teacher.taps)
    return replace(teacher, nodes=tuple(nodes), taps=taps)


def with_heads(network: Network, heads: Sequence[Head]) -> Network:
    """Put pooling and a 1x1 convolution behind taps; the heads become the network's outputs.

    A tap may have several heads or none. Nodes that no head needs are dropped.
    """
    nodes = list(network.nodes)
    taps = []
    for position, head in enumerate(heads):
        tap = network.taps[head.tap]
        name = f"{network.nodes[tap].name}.head{position}"
        if head.pool > 1:
            nodes.append(AveragePool(f"{name}.pool", tap, head.pool))
            tap = len(nodes) - 1
        if head.matrix is not None:
            weights = np.ascontiguousarray(head.matrix.T[:, None, None, :], np.float32)
            bias = np.zeros(len(weights), np.float32) if head.bias is None else head.bias
            nodes.append(Conv(name, tap, weights, np.asarray(bias, np.float32)))
            tap = len(nodes) - 1
        taps.append(tap)
    return trim(replace(network, nodes=tuple(nodes), taps=tuple(taps)))


def pads(node: Windowed, height: int, width: int) -> Pads:
    """Zeros around a node's input; those below and right that no window reads are left out."""
    window_h, window_w = window(node)
    top, bottom = _side_pads(node, height, window_h, 0)
    left, right = _side_pads(node, width, window_w, 1)
    return Pads(top, bottom, left, right)


def window(node: Windowed) -> tuple[int, int]:
    """Height and width of a window."""
    if isinstance(node, MaxPool):
        return node.size, node.size
    if isinstance(node, Conv):
        return node.weights.shape[1], node.weights.shape[2]
    return node.weights.shape[0], node.weights.shape[1]


def _side_pads(node: Windowed, size: int, window_size: int, axis: int) -> tuple[int, int]:
    stride = node.stride[axis]
    if node.padding == "SAME":
        n_out = -(-size // stride)
        total = max((n_out - 1) * stride + window_size - size, 0)
        return total // 2, total - total // 2
    given = node.padding
    before, after = (given.top, given.bottom) if axis == 0 else (given.left, given.right)
    n_out = (size + before + after - window_size) // stride + 1
    return before, max((n_out - 1) * stride + window_size - size - before, 0)


def preprocess(network: Network, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the network sees of uint8 RGB images (N, H, W, 3): float32 of the same shape."""
    return images.astype(np.float32) * network.scale + network.offset


def forward(
    network: Network,
    images: NDArray[np.uint8],
    observe: Callable[[int, torch.Tensor], None] | None = None,
) -> list[NDArray[np.float32]]:
    """Run the network, a few images a thread, so that the same images give the same bits.

    Args:
        network: what to run.
        images: uint8 RGB (N, H, W, 3); a few at a time are in memory as floats.
        observe: called with each node's index and output (n, C, H, W), the image first, for each
            few images in their order.

    Returns:
        The taps, float32 (N, H, W, C) each.
    """
    import torch

    def run(start: int) -> list[NDArray[np.float32]]:
        return _forward_chunk(network, images[start : start + _CHUNK], observe)

    starts = range(0, len(images), _CHUNK)
    workers = torch.get_num_threads() if observe is None else 1
    if workers == 1:
        parts = [run(start) for start in starts]
    else:
        with one_thread(), ThreadPoolExecutor(workers) as pool:
            parts = list(pool.map(run, starts))
    return [np.concatenate(tap) for tap in zip(*parts, strict=True)]


def _forward_chunk(
    network: Network,
    images: NDArray[np.uint8],
    observe: Callable[[int, torch.Tensor], None] | None,
) -> list[NDArray[np.float32]]:
    import torch

    last_use = {source: i for i, node in enumerate(network.nodes) for source in sources(node)}
    image = torch.from_numpy(preprocess(network, images)).permute(0, 3, 1, 2)
    values = {IMAGE: image.contiguous(memory_format=torch.channels_last)}
    with one_thread(), torch.inference_mode():
        if observe is not None:
            observe(IMAGE, values[IMAGE])
        for index, node in enumerate(network.nodes):
            values[index] = run_node(node, [values[source] for source in sources(node)])
            if observe is not None:
                observe(index, values[index])
            for source in sources(node):
                if last_use[source] == index and source not in network.taps:
                    values.pop(source, None)
        return [values[tap].permute(0, 2, 3, 1).contiguous().numpy() for tap in network.taps]


def run_node(node: Node, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
    """One node's output (N, C, H, W) from its inputs'."""
    import torch
    from torch.nn import functional

    match node:
        case Add():
            return limited(inputs[0] + inputs[1], node.limits)
        case Multiply():
            return inputs[0] * inputs[1]
        case Maximum():
            return torch.maximum(inputs[0], inputs[1])
        case AveragePool():
            return functional.avg_pool2d(inputs[0], node.size)
        case MaxPool():
            return functional.max_pool2d(padded(node, inputs[0]), node.size, node.stride)
        case GlobalMean():
            return inputs[0].mean(dim=(2, 3), keepdim=True)
        case Unary():
            is_swish = node.kind == "HARD_SWISH"
            return functional.hardswish(inputs[0]) if is_swish else torch.sigmoid(inputs[0])
        case Gather():
            return inputs[0][:, list(node.channels)]
        case Conv() | DepthwiseConv():
            weights, bias = torch.from_numpy(torch_weights(node)), torch.from_numpy(node.bias)
            return limited(convolve(node, inputs[0], weights, bias), node.limits)


def torch_weights(node: Conv | DepthwiseConv) -> NDArray[np.float32]:
    """A convolution's weights in torch's order (O, I / groups, KH, KW)."""
    if isinstance(node, Conv):
        return np.ascontiguousarray(node.weights.transpose(0, 3, 1, 2))
    return np.ascontiguousarray(node.weights.transpose(2, 0, 1)[:, None])


def convolve(
    node: Conv | DepthwiseConv, x: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """A node's convolution, without its limits, with other weights (O, I / groups, KH, KW)."""
    from torch.nn import functional

    around = pads(node, x.shape[2], x.shape[3])
    padding = (around.top, around.left)
    if (around.bottom, around.right) != padding:
        x, padding = padded(node, x), (0, 0)
    groups = node.groups if isinstance(node, Conv) else x.shape[1]
    return functional.conv2d(x, weights, bias, node.stride, padding, groups=groups)


def padded(node: Windowed, x: torch.Tensor) -> torch.Tensor:
    """A node's input with the zeros around it."""
    from torch.nn import functional

    around = pads(node, x.shape[2], x.shape[3])
    return functional.pad(x, (around.left, around.right, around.top, around.bottom))


def limited(x: torch.Tensor, limits: Limits) -> torch.Tensor:
    """min(max(x, low), high)."""
    return x if limits == LINEAR else x.clamp(*limits)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread inside, since sums split between threads differ in their last bit."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
