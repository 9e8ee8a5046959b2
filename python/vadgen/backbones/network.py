"""A float network as frozen values, batch norm folded, and its forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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


@dataclass(frozen=True, eq=False)
class Conv:
    """Convolution and, if `relu6`, min(max(y, 0), 6).

    Attributes:
        name: unique in its network.
        source: index of the input node, `IMAGE` for the image.
        weights: float32 (O, KH, KW, I).
        bias: float32 (O,).
        stride: pixels, both ways.
        padding: "SAME" as TensorFlow means it (the odd zero below and right), or zeros by side.
    """

    name: str
    source: int
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    stride: int = 1
    padding: Padding = "SAME"
    relu6: bool = False


@dataclass(frozen=True, eq=False)
class DepthwiseConv:
    """Convolution of each channel by itself; `weights` float32 (KH, KW, C), otherwise `Conv`."""

    name: str
    source: int
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    stride: int = 1
    padding: Padding = "SAME"
    relu6: bool = False


@dataclass(frozen=True)
class Add:
    """Sum of two nodes."""

    name: str
    sources: tuple[int, int]


@dataclass(frozen=True)
class AveragePool:
    """Mean over `size` x `size` pixels, stride `size`; what is left over at the edge is dropped."""

    name: str
    source: int
    size: int


Node = Conv | DepthwiseConv | Add | AveragePool


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
    return node.sources if isinstance(node, Add) else (node.source,)


def trim(network: Network) -> Network:
    """Drop the nodes that no tap needs."""
    needed = set(network.taps)
    for index in range(len(network.nodes) - 1, -1, -1):
        if index in needed:
            needed.update(sources(network.nodes[index]))
    kept = sorted(needed - {IMAGE})
    place = {old: new for new, old in enumerate(kept)} | {IMAGE: IMAGE}
    nodes: list[Node] = []
    for old in kept:
        node = network.nodes[old]
        if isinstance(node, Add):
            left, right = node.sources
            nodes.append(replace(node, sources=(place[left], place[right])))
        else:
            nodes.append(replace(node, source=place[node.source]))
    return replace(network, nodes=tuple(nodes), taps=tuple(place[tap] for tap in network.taps))


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


def pads(node: Conv | DepthwiseConv, height: int, width: int) -> Pads:
    """Zeros around a node's input; those below and right that no window reads are left out."""
    window_h, window_w = window(node)
    top, bottom = _side_pads(node, height, window_h, 0)
    left, right = _side_pads(node, width, window_w, 1)
    return Pads(top, bottom, left, right)


def window(node: Conv | DepthwiseConv) -> tuple[int, int]:
    """Height and width of a convolution's window."""
    if isinstance(node, Conv):
        return node.weights.shape[1], node.weights.shape[2]
    return node.weights.shape[0], node.weights.shape[1]


def _side_pads(
    node: Conv | DepthwiseConv, size: int, window_size: int, axis: int
) -> tuple[int, int]:
    if node.padding == "SAME":
        n_out = -(-size // node.stride)
        total = max((n_out - 1) * node.stride + window_size - size, 0)
        return total // 2, total - total // 2
    given = node.padding
    before, after = (given.top, given.bottom) if axis == 0 else (given.left, given.right)
    n_out = (size + before + after - window_size) // node.stride + 1
    return before, max((n_out - 1) * node.stride + window_size - size - before, 0)


def preprocess(network: Network, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the network sees of uint8 RGB images (N, H, W, 3): float32 of the same shape."""
    return images.astype(np.float32) * network.scale + network.offset


def forward(
    network: Network,
    images: NDArray[np.uint8],
    observe: Callable[[int, torch.Tensor], None] | None = None,
) -> list[NDArray[np.float32]]:
    """Run the network; one thread, so that the same images give the same bits.

    Args:
        network: what to run.
        images: uint8 RGB (N, H, W, 3); a few at a time are in memory as floats.
        observe: called with each node's index and output (n, C, H, W), the image first, for each
            few images.

    Returns:
        The taps, float32 (N, H, W, C) each.
    """
    parts = [
        _forward_chunk(network, images[start : start + _CHUNK], observe)
        for start in range(0, len(images), _CHUNK)
    ]
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
    from torch.nn import functional

    match node:
        case Add():
            return inputs[0] + inputs[1]
        case AveragePool():
            return functional.avg_pool2d(inputs[0], node.size)
        case Conv() | DepthwiseConv():
            return _convolve(node, inputs[0])


def _convolve(node: Conv | DepthwiseConv, x: torch.Tensor) -> torch.Tensor:
    import torch
    from torch.nn import functional

    around = pads(node, x.shape[2], x.shape[3])
    padding = (around.top, around.left)
    if (around.bottom, around.right) != padding:
        x = functional.pad(x, (around.left, around.right, around.top, around.bottom))
        padding = (0, 0)
    if isinstance(node, Conv):
        weights, groups = np.transpose(node.weights, (0, 3, 1, 2)), 1
    else:
        weights, groups = np.transpose(node.weights, (2, 0, 1))[:, None], x.shape[1]
    y = functional.conv2d(
        x,
        torch.from_numpy(np.ascontiguousarray(weights)),
        torch.from_numpy(node.bias),
        stride=node.stride,
        padding=padding,
        groups=groups,
    )
    return y.clamp_(0, 6) if node.relu6 else y


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
