"""Post-training quantization of a float network to TFLite's int8."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vadgen.backbones.network import (
    IMAGE,
    LINEAR,
    RELU,
    RELU6,
    Add,
    AveragePool,
    Binary,
    Conv,
    DepthwiseConv,
    Gather,
    GlobalMean,
    Limits,
    Maximum,
    MaxPool,
    Multiply,
    Network,
    Pads,
    Unary,
    Windowed,
    forward,
    pads,
    window,
)
from vadgen.backbones.weights import round_mantissa
from vadgen.errors import VadgenError
from vadgen.model import (
    Activation,
    ActivationOptions,
    ConvOptions,
    GatherOptions,
    Graph,
    MeanOptions,
    NoOptions,
    Op,
    Options,
    Padding,
    PoolOptions,
    Tensor,
)

if TYPE_CHECKING:
    import torch

# What is measured in floats is kept to 8 binary digits, so that a processor that sums in
# another order still gives the same file.
_MEASURED_BITS = 8
# |bias| stays below 2^24: the scale of a channel whose weights are next to nothing beside its bias
# then follows the bias, and requantization never shifts right by more than 22, which the short
# sequence of the DSP kernels wants. What such weights lose is below 1 % of that bias.
_BIAS_LIMIT = 2**24
_FUSED: dict[Limits, Activation] = {LINEAR: "NONE", RELU: "RELU", RELU6: "RELU6"}
_LOGISTIC_SCALE, _LOGISTIC_ZERO_POINT = 1 / 256, -128


@dataclass(frozen=True, eq=False)
class Ranges:
    """What each node's output spans on the calibration images.

    Attributes:
        height: of the images, pixels.
        width: of the images, pixels.
        low: float64 (nodes,), at most 0.
        high: float64 (nodes,), at least 0.
        means: float64 (channels,) of the image and then of each node; empty when not measured,
            biases are then not corrected.
    """

    height: int
    width: int
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    means: tuple[NDArray[np.float64], ...] = ()


@dataclass(frozen=True, eq=False)
class InputQuantization:
    """Camera bytes to int8: real = scale * (table[c][byte] - zero_point) + residual.

    Attributes:
        scale: of the input tensor.
        zero_point: of the input tensor.
        residual: a constant that the first convolution's bias takes up.
        table: int8 (3, 256), the input tensor's value of each byte of each channel.
    """

    scale: float
    zero_point: int
    residual: float
    table: NDArray[np.int8]


def calibrate(network: Network, batches: Iterable[NDArray[np.uint8]]) -> Ranges:
    """Run the float network over images; keep each node's extremes and each channel's mean.

    Args:
        network: what to quantize.
        batches: uint8 RGB (N, H, W, 3) each, all of one size.

    Raises:
        VadgenError: no image.
    """
    n_nodes = len(network.nodes)
    low, high = np.zeros(n_nodes), np.zeros(n_nodes)
    sums = [np.zeros(1)] * (n_nodes + 1)
    counts = [0] * (n_nodes + 1)
    size = (0, 0)

    def observe(index: int, output: torch.Tensor) -> None:
        # Float sums of a row, then float64: enough digits at a tenth of the time.
        channels = output.sum(dim=3).numpy().astype(np.float64).sum(axis=(0, 2))
        sums[index + 1] = sums[index + 1] + channels
        counts[index + 1] += output.shape[0] * output.shape[2] * output.shape[3]
        if index != IMAGE:
            least, most = output.aminmax()
            low[index] = min(low[index], float(least))
            high[index] = max(high[index], float(most))

    for images in batches:
        size = (images.shape[1], images.shape[2])
        forward(network, images, observe)
    if counts[0] == 0:
        raise VadgenError(
            "no images to calibrate the int8 ranges on", "give at least one good image"
        )
    means = (
        round_mantissa(total / count, _MEASURED_BITS)
        for total, count in zip(sums, counts, strict=True)
    )
    return Ranges(
        *size,
        round_mantissa(low, _MEASURED_BITS),
        round_mantissa(high, _MEASURED_BITS),
        tuple(means),
    )


def input_quantization(network: Network) -> InputQuantization:
    """Choose the input tensor's scale so that a byte becomes `byte - 128` where possible.

    It is possible when all channels are preprocessed alike; what the zero point cannot express
    of the offset is left to the first bias. Otherwise one scale spans all channels.
    """
    scale, offset = network.scale.astype(np.float64), network.offset.astype(np.float64)
    byte = np.arange(256)
    if np.all(scale == scale[0]) and np.all(offset == offset[0]):
        zero_point = int(np.clip(np.rint(-128 - offset[0] / scale[0]), -128, 127))
        residual = offset[0] + scale[0] * (128 + zero_point)
        table = np.tile(byte - 128, (3, 1)).astype(np.int8)
        return InputQuantization(float(scale[0]), zero_point, float(residual), table)
    real = scale[:, None] * byte + offset[:, None]
    step, zero_point = affine(float(real.min()), float(real.max()))
    table = np.clip(np.rint(real / step) + zero_point, -128, 127).astype(np.int8)
    return InputQuantization(step, zero_point, 0.0, table)


def affine(low: float, high: float) -> tuple[float, int]:
    """Scale (a float32 value) and zero point of an int8 range that holds zero exactly.

    Source: TFLite's quantization specification; Jacob et al., 2018.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / 255)) or 1.0
    zero_point = int(np.clip(np.rint(-128 - low / scale), -128, 127))
    return scale, zero_point


def quantize(network: Network, ranges: Ranges) -> Graph:
    """Turn a float network into an int8 graph whose outputs are the taps.

    Activations: asymmetric, one scale a tensor; weights: symmetric in [-127, 127], one scale a
    channel; biases: int32 at scale input * weight, corrected for the weights' rounding.

    Source: TFLite's quantization specification.
    """
    return _Builder(network, ranges).graph()


class _Builder:
    """Collects the tensors and operators; `self.values` maps a node to its output tensor."""

    def __init__(self, network: Network, ranges: Ranges) -> None:
        self.network = network
        self.ranges = _shared_by_maxima(network, ranges)
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []
        self.input = input_quantization(network)
        shape = (1, ranges.height, ranges.width, 3)
        self.values = {
            IMAGE: self.activation("image", shape, self.input.scale, self.input.zero_point)
        }

    def graph(self) -> Graph:
        for index, node in enumerate(self.network.nodes):
            match node:
                case Conv() | DepthwiseConv():
                    self.values[index] = self.convolution(index, node)
                case Add() | Multiply() | Maximum():
                    self.values[index] = self.binary(index, node)
                case AveragePool():
                    self.values[index] = self.average_pool(node)
                case MaxPool():
                    self.values[index] = self.max_pool(node)
                case GlobalMean():
                    self.values[index] = self.mean(index, node)
                case Unary():
                    self.values[index] = self.unary(index, node)
                case Gather():
                    self.values[index] = self.gather(node)
        outputs = tuple(self.values[tap] for tap in self.network.taps)
        return Graph(tuple(self.tensors), tuple(self.ops), (self.values[IMAGE],), outputs)

    def tensor(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def activation(self, name: str, shape: tuple[int, ...], scale: float, zero_point: int) -> int:
        return self.tensor(Tensor(name, shape, "int8", np.array([scale], np.float32), zero_point))

    def calibrated(self, index: int, shape: tuple[int, ...]) -> int:
        scale, zero_point = affine(self.ranges.low[index], self.ranges.high[index])
        return self.activation(self.network.nodes[index].name, shape, scale, zero_point)

    def constant(
        self,
        name: str,
        data: NDArray[np.int8] | NDArray[np.int32],
        scales: NDArray[np.float32],
        axis: int = 0,
    ) -> int:
        is_int8 = data.dtype == np.int8
        return self.tensor(
            Tensor(name, data.shape, "int8" if is_int8 else "int32", scales, 0, axis, data)
        )

    def indices(self, name: str, values: Sequence[int] | Sequence[Sequence[int]]) -> int:
        """An int32 constant that is not quantized."""
        return self.constant(name, np.array(values, np.int32), np.zeros(0, np.float32))

    def op(self, kind: str, inputs: tuple[int, ...], output: int, options: Options) -> None:
        self.ops.append(Op(kind, inputs, (output,), options))

    def alike(self, name: str, source: int, shape: tuple[int, ...]) -> int:
        """An activation with its input's quantization: TFLite Micro does not rescale there."""
        tensor = self.tensors[source]
        return self.activation(name, shape, tensor.scale, tensor.zero_point)

    def binary(self, index: int, node: Binary) -> int:
        left, right = (self.values[source] for source in node.sources)
        output = self.calibrated(index, self.tensors[left].shape)
        match node:
            case Add():
                self.op("ADD", (left, right), output, ActivationOptions(_FUSED[node.limits]))
            case Multiply():
                self.op("MUL", (left, right), output, ActivationOptions())
            case Maximum():
                self.op("MAXIMUM", (left, right), output, NoOptions())
        return output

    def average_pool(self, node: AveragePool) -> int:
        source = self.values[node.source]
        _, height, width, channels = self.tensors[source].shape
        shape = (1, height // node.size, width // node.size, channels)
        output = self.alike(node.name, source, shape)
        options = PoolOptions(node.size, node.size, node.size, node.size)
        self.op("AVERAGE_POOL_2D", (source,), output, options)
        return output

    def max_pool(self, node: MaxPool) -> int:
        source, is_same = self.padded(node)
        shape = self.windows(node, source, is_same)
        output = self.alike(node.name, source, (*shape, self.tensors[source].shape[3]))
        padding: Padding = "SAME" if is_same else "VALID"
        options = PoolOptions(node.size, node.size, *node.stride, padding)
        self.op("MAX_POOL_2D", (source,), output, options)
        return output

    def mean(self, index: int, node: GlobalMean) -> int:
        source = self.values[node.source]
        axes = self.constant(
            f"{node.name}.axes", np.array([1, 2], np.int32), np.zeros(0, np.float32)
        )
        output = self.calibrated(index, (1, 1, 1, self.tensors[source].shape[3]))
        self.op("MEAN", (source, axes), output, MeanOptions(keep_dims=True))
        return output

    def unary(self, index: int, node: Unary) -> int:
        source = self.values[node.source]
        shape = self.tensors[source].shape
        if node.kind == "LOGISTIC":
            output = self.activation(node.name, shape, _LOGISTIC_SCALE, _LOGISTIC_ZERO_POINT)
        else:
            output = self.calibrated(index, shape)
        self.op(node.kind, (source,), output, NoOptions())
        return output

    def gather(self, node: Gather) -> int:
        source = self.values[node.source]
        indices = self.indices(f"{node.name}.channels", node.channels)
        shape = (*self.tensors[source].shape[:3], len(node.channels))
        output = self.alike(node.name, source, shape)
        self.op("GATHER", (source, indices), output, GatherOptions(axis=3))
        return output

    def convolution(self, index: int, node: Conv | DepthwiseConv) -> int:
        source, is_same = self.padded(node)
        tensor = self.tensors[source]
        shape = (*self.windows(node, source, is_same), len(node.bias))
        weights, bias = self.parameters(node, tensor.scale)
        is_depthwise = isinstance(node, DepthwiseConv)
        fused = _FUSED.get(node.limits)
        if fused is None:
            # The ends of int8 are the limits.
            output = self.activation(node.name, shape, *affine(*node.limits))
        else:
            output = self.calibrated(index, shape)
        options = ConvOptions(
            stride_h=node.stride[0],
            stride_w=node.stride[1],
            padding="SAME" if is_same else "VALID",
            activation=fused or "NONE",
            depth_multiplier=len(node.bias) // tensor.shape[3] if is_depthwise else 0,
        )
        kind = "DEPTHWISE_CONV_2D" if is_depthwise else "CONV_2D"
        self.op(kind, (source, weights, bias), output, options)
        return output

    def windows(self, node: Windowed, source: int, is_same: bool) -> tuple[int, int, int]:
        """Batch, rows and columns of what a window makes of a tensor."""
        height, width = self.tensors[source].shape[1:3]
        if not is_same:
            window_h, window_w = window(node)
            height, width = height - window_h + 1, width - window_w + 1
        return 1, -(-height // node.stride[0]), -(-width // node.stride[1])

    def padded(self, node: Windowed) -> tuple[int, bool]:
        """The tensor that a window reads, and whether TensorFlow's SAME pads it."""
        source = self.values[node.source]
        tensor = self.tensors[source]
        _, height, width, channels = tensor.shape
        wanted = pads(node, height, width)
        if wanted == pads(replace(node, padding="SAME"), height, width):
            return source, True
        if wanted != Pads(0, 0, 0, 0):
            sides = [[0, 0], [wanted.top, wanted.bottom], [wanted.left, wanted.right], [0, 0]]
            amounts = self.indices(f"{node.name}.pads", sides)
            grown = (
                1,
                height + wanted.top + wanted.bottom,
                width + wanted.left + wanted.right,
                channels,
            )
            padded = self.alike(f"{node.name}.pad", source, grown)
            self.op("PAD", (source, amounts), padded, NoOptions())
            source = padded
        return source, False

    def parameters(self, node: Conv | DepthwiseConv, input_scale: float) -> tuple[int, int]:
        """Constants of weights and bias.

        Rounded weights move a channel's mean by err . E[x]; the bias takes that back, which is
        most of the weights' error where a filter's sum is small and its input's mean is not.
        Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
        Correction", 2019.
        """
        is_depthwise = isinstance(node, DepthwiseConv)
        real = np.moveaxis(node.weights, -1, 0) if is_depthwise else node.weights
        rows = real.reshape(len(node.bias), -1).astype(np.float64)
        bias = node.bias.astype(np.float64)
        if node.source == IMAGE:
            bias = bias + rows.sum(axis=1) * self.input.residual
        scales = _weight_scales(rows, bias, input_scale)
        levels = np.clip(np.rint(rows / scales[:, None]), -127, 127).astype(np.int8)
        if self.ranges.means:
            means = self.ranges.means[node.source + 1]
            if node.source == IMAGE:
                means = means - self.input.residual
            errors = levels * scales.astype(np.float64)[:, None] - rows
            bias = bias - (errors * _seen(node, means)).sum(axis=1)
        steps = input_scale * scales.astype(np.float64)
        if is_depthwise:
            levels = np.moveaxis(levels.reshape(real.shape), 0, -1)[np.newaxis]
        else:
            levels = levels.reshape(real.shape)
        return (
            self.constant(
                f"{node.name}.weights",
                np.ascontiguousarray(levels),
                scales,
                3 if is_depthwise else 0,
            ),
            self.constant(
                f"{node.name}.bias",
                np.rint(bias / steps).astype(np.int32),
                steps.astype(np.float32),
            ),
        )


def _seen(node: Conv | DepthwiseConv, means: NDArray[np.float64]) -> NDArray[np.float64]:
    """The input's mean at each weight, (output channels, weights of a channel) or one that spreads.

    Args:
        node: the convolution.
        means: of its input by channel, or one for all.
    """
    if len(means) == 1:
        return means
    n_out = len(node.bias)
    if isinstance(node, DepthwiseConv):
        return np.repeat(means, n_out // len(means))[:, None]
    by_group = np.tile(means.reshape(node.groups, -1), (1, math.prod(window(node))))
    return np.repeat(by_group, n_out // node.groups, axis=0)


def _shared_by_maxima(network: Network, ranges: Ranges) -> Ranges:
    """TFLite's MAXIMUM does not rescale: its inputs and its output get one range."""
    low, high = ranges.low.copy(), ranges.high.copy()
    for index, node in enumerate(network.nodes):
        if isinstance(node, Maximum):
            group = [index, *node.sources]
            low[group], high[group] = low[group].min(), high[group].max()
    return replace(ranges, low=low, high=high)


def _weight_scales(
    rows: NDArray[np.float64], bias: NDArray[np.float64], input_scale: float
) -> NDArray[np.float32]:
    """Per-channel scales: the largest weight becomes 127, and the bias fits."""
    for_weights = np.abs(rows).max(axis=1) / 127
    for_bias = np.abs(bias) / (input_scale * _BIAS_LIMIT)
    scales = np.maximum(for_weights, for_bias).astype(np.float32)
    return np.where(scales > 0, scales, np.float32(1))
