"""Builds small int8 graphs with seeded random constants."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vadgen.model import (
    Activation,
    ActivationOptions,
    ConcatOptions,
    ConvOptions,
    GatherOptions,
    Graph,
    MeanOptions,
    NoOptions,
    Op,
    Options,
    Padding,
    PoolOptions,
    SoftmaxOptions,
    Tensor,
)


def out_size(size: int, kernel: int, stride: int, padding: Padding) -> int:
    """Output size of a window by TFLite's rule."""
    return -(-size // stride) if padding == "SAME" else (size - kernel) // stride + 1


class GraphBuilder:
    """Appends operators; every method returns the tensor index of its output.

    Activation scales and zero points are drawn at random unless given; output scales are set so
    that a typical accumulator uses most of int8's range, and now and then saturates.
    """

    def __init__(self, seed: int, shape: tuple[int, ...], zero_point: int | None = None) -> None:
        self.rng = np.random.default_rng(seed)
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []
        zp = int(self.rng.integers(-128, 128)) if zero_point is None else zero_point
        self.input = self._activation(shape, float(self.rng.uniform(0.005, 0.1)), zp)

    def graph(self, *outputs: int) -> Graph:
        return Graph(tuple(self.tensors), tuple(self.ops), (self.input,), outputs)

    def shape(self, tensor: int) -> tuple[int, ...]:
        return self.tensors[tensor].shape

    # -- tensors ---------------------------------------------------------------------------------

    def _append(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _activation(self, shape: tuple[int, ...], scale: float, zero_point: int) -> int:
        name = f"t{len(self.tensors)}"
        return self._append(Tensor(name, shape, "int8", np.float32([scale]), zero_point))

    def _constant(self, data: NDArray[np.int32]) -> int:
        name = f"c{len(self.tensors)}"
        return self._append(
            Tensor(name, data.shape, "int32", np.zeros(0, np.float32), data=data.astype(np.int32))
        )

    def _weights(self, shape: tuple[int, ...], axis: int, per_channel: bool) -> int:
        data = self.rng.integers(-127, 128, shape).astype(np.int8)
        count = shape[axis] if per_channel else 1
        scales = self.rng.uniform(0.0005, 0.02, count).astype(np.float32)
        return self._append(
            Tensor(f"w{len(self.tensors)}", shape, "int8", scales, axis=axis, data=data)
        )

    def _bias(self, source: int, weights: int, channels: int) -> int:
        scales = np.float32(self.tensors[source].scale) * self.tensors[weights].scales
        data = self.rng.integers(-20000, 20000, channels).astype(np.int32)
        return self._append(
            Tensor(f"b{len(self.tensors)}", (channels,), "int32", scales, data=data)
        )

    def _emit(self, kind: str, inputs: tuple[int, ...], output: int, options: Options) -> int:
        self.ops.append(Op(kind, inputs, (output,), options))
        return output

    def _zero_point(self, activation: Activation) -> int:
        return int(self.rng.integers(-128, 128)) if activation == "NONE" else -128

    def _weighted(
        self,
        kind: str,
        source: int,
        weights: int,
        channels: int,
        taps: int,
        shape: tuple[int, ...],
        options: Options,
        activation: Activation,
        bias: bool,
        scale: float | None,
    ) -> int:
        inputs = (source, weights) + ((self._bias(source, weights, channels),) if bias else ())
        typical = 127 * 74 * np.sqrt(taps) * float(self.tensors[weights].scales.mean())
        drawn = self.tensors[source].scale * typical / 60 * float(self.rng.uniform(0.3, 1.5))
        if activation == "RELU6":
            drawn = 6.0 / 255.0
        out = self._activation(shape, scale or drawn, self._zero_point(activation))
        return self._emit(kind, inputs, out, options)

    # -- operators -------------------------------------------------------------------------------

    def conv(
        self,
        source: int,
        channels: int,
        kernel: tuple[int, int] = (1, 1),
        stride: tuple[int, int] = (1, 1),
        padding: Padding = "SAME",
        activation: Activation = "NONE",
        per_channel: bool = True,
        bias: bool = True,
        scale: float | None = None,
        groups: int = 1,
    ) -> int:
        _, h, w, c = self.shape(source)
        weights = self._weights((channels, *kernel, c // groups), 0, per_channel)
        oh = out_size(h, kernel[0], stride[0], padding)
        ow = out_size(w, kernel[1], stride[1], padding)
        options = ConvOptions(*stride, padding, activation)
        return self._weighted(
            "CONV_2D",
            source,
            weights,
            channels,
            kernel[0] * kernel[1] * c // groups,
            (1, oh, ow, channels),
            options,
            activation,
            bias,
            scale,
        )

    def depthwise(
        self,
        source: int,
        kernel: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
        padding: Padding = "SAME",
        activation: Activation = "NONE",
        multiplier: int = 1,
        per_channel: bool = True,
        bias: bool = True,
        scale: float | None = None,
    ) -> int:
        _, h, w, c = self.shape(source)
        channels = c * multiplier
        weights = self._weights((1, *kernel, channels), 3, per_channel)
        oh = out_size(h, kernel[0], stride[0], padding)
        ow = out_size(w, kernel[1], stride[1], padding)
        options = ConvOptions(*stride, padding, activation, depth_multiplier=multiplier)
        return self._weighted(
            "DEPTHWISE_CONV_2D",
            source,
            weights,
            channels,
            kernel[0] * kernel[1],
            (1, oh, ow, channels),
            options,
            activation,
            bias,
            scale,
        )

    def fully_connected(
        self,
        source: int,
        channels: int,
        activation: Activation = "NONE",
        per_channel: bool = False,
        bias: bool = True,
        scale: float | None = None,
    ) -> int:
        depth = int(np.prod(self.shape(source)))
        weights = self._weights((channels, depth), 0, per_channel)
        return self._weighted(
            "FULLY_CONNECTED",
            source,
            weights,
            channels,
            depth,
            (1, channels),
            ActivationOptions(activation),
            activation,
            bias,
            scale,
        )

    def add(self, a: int, b: int, activation: Activation = "NONE") -> int:
        scale = max(self.tensors[a].scale, self.tensors[b].scale) * float(
            self.rng.uniform(0.7, 2.0)
        )
        zp = self._zero_point(activation)
        out = self._activation(self.shape(a), scale, zp)
        return self._emit("ADD", (a, b), out, ActivationOptions(activation))

    def mul(self, a: int, b: int, activation: Activation = "NONE", scale: float = 0) -> int:
        """`b` may be one pixel."""
        drawn = 127 * self.tensors[a].scale * self.tensors[b].scale
        drawn *= float(self.rng.uniform(0.3, 1.5))
        out = self._activation(self.shape(a), scale or drawn, self._zero_point(activation))
        return self._emit("MUL", (a, b), out, ActivationOptions(activation))

    def maximum(self, a: int, b: int) -> int:
        """The inputs must share their quantization (see `requantized`)."""
        t = self.tensors[a]
        out = self._activation(t.shape, t.scale, t.zero_point)
        return self._emit("MAXIMUM", (a, b), out, NoOptions())

    def gather(self, source: int, channels: list[int]) -> int:
        t = self.tensors[source]
        indices = self._constant(np.array(channels))
        out = self._activation((*t.shape[:-1], len(channels)), t.scale, t.zero_point)
        return self._emit("GATHER", (source, indices), out, GatherOptions(len(t.shape) - 1))

    def squeeze_excite(self, source: int, squeezed: int) -> int:
        """Multiplies by what a small network makes of the mean over the image."""
        inner = self.conv(self.mean(source, keep_dims=True), squeezed)
        gate = self.lut("LOGISTIC", self.conv(self.lut("HARD_SWISH", inner), self.shape(source)[3]))
        return self.mul(source, gate)

    def pad(self, source: int, pads: list[list[int]]) -> int:
        before_after = np.array([[0, 0], *pads], dtype=np.int32)
        shape = tuple(
            s + int(p.sum()) for s, p in zip(self.shape(source), before_after, strict=True)
        )
        t = self.tensors[source]
        amounts = self._constant(before_after)
        out = self._activation(shape, t.scale, t.zero_point)
        return self._emit("PAD", (source, amounts), out, NoOptions())

    def pool(
        self,
        source: int,
        average: bool,
        kernel: tuple[int, int] = (2, 2),
        stride: tuple[int, int] = (2, 2),
        padding: Padding = "VALID",
        activation: Activation = "NONE",
    ) -> int:
        _, h, w, c = self.shape(source)
        oh = out_size(h, kernel[0], stride[0], padding)
        ow = out_size(w, kernel[1], stride[1], padding)
        t = self.tensors[source]
        out = self._activation((1, oh, ow, c), t.scale, t.zero_point)
        kind = "AVERAGE_POOL_2D" if average else "MAX_POOL_2D"
        return self._emit(kind, (source,), out, PoolOptions(*kernel, *stride, padding, activation))

    def mean(self, source: int, keep_dims: bool) -> int:
        _, _, _, c = self.shape(source)
        axes = self._constant(np.array([1, 2]))
        scale = self.tensors[source].scale * float(self.rng.uniform(0.2, 1.2))
        shape = (1, 1, 1, c) if keep_dims else (1, c)
        out = self._activation(shape, scale, int(self.rng.integers(-128, 128)))
        return self._emit("MEAN", (source, axes), out, MeanOptions(keep_dims))

    def lut(self, kind: str, source: int) -> int:
        t = self.tensors[source]
        if kind == "RELU6":
            out = self._activation(t.shape, t.scale, t.zero_point)
        elif kind == "LOGISTIC":
            out = self._activation(t.shape, 1.0 / 256.0, -128)
        else:
            scale = t.scale * float(self.rng.uniform(0.4, 2.5))
            out = self._activation(t.shape, scale, int(self.rng.integers(-128, 100)))
        return self._emit(kind, (source,), out, NoOptions())

    def softmax(self, source: int, beta: float = 1.0) -> int:
        out = self._activation(self.shape(source), 1.0 / 256.0, -128)
        return self._emit("SOFTMAX", (source,), out, SoftmaxOptions(beta))

    def concat(self, *sources: int) -> int:
        """Joins channels; the sources must share their quantization (see `requantized`)."""
        t = self.tensors[sources[0]]
        channels = sum(self.shape(s)[-1] for s in sources)
        out = self._activation((*t.shape[:-1], channels), t.scale, t.zero_point)
        return self._emit("CONCATENATION", sources, out, ConcatOptions(3))

    def requantized(self, source: int, like: int) -> int:
        """`source` through QUANTIZE to the scale and zero point of `like`."""
        t = self.tensors[like]
        out = self._activation(self.shape(source), t.scale, t.zero_point)
        return self._emit("QUANTIZE", (source,), out, NoOptions())

    def reshape(self, source: int, shape: tuple[int, ...]) -> int:
        t = self.tensors[source]
        target = self._constant(np.array(shape))
        out = self._activation(shape, t.scale, t.zero_point)
        return self._emit("RESHAPE", (source, target), out, NoOptions())


def random_graph(seed: int) -> Graph:
    """A small random network: windows, skips, several outputs, sometimes a classifier head."""
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(5, 24)), int(rng.integers(5, 24)))
    b = GraphBuilder(seed, (1, *size, int(rng.choice([1, 2, 3, 4]))))
    x = b.input
    taps: list[int] = []
    for _ in range(int(rng.integers(2, 8))):
        x = _random_step(b, rng, x)
        if rng.random() < 0.3:
            taps.append(x)
    if rng.random() < 0.3:
        x = _random_head(b, rng, x)
    outputs = list(dict.fromkeys([*taps, x]))
    if outputs == [b.input]:
        outputs = [b.conv(x, 4)]
    return b.graph(*outputs)


def _random_step(b: GraphBuilder, rng: np.random.Generator, x: int) -> int:
    _, h, w, c = b.shape(x)
    activation: Activation = "RELU6" if rng.random() < 0.5 else "NONE"
    padding: Padding = "SAME" if rng.random() < 0.7 else "VALID"
    kernel = (int(rng.choice([1, 3, 3, 5])), int(rng.choice([1, 3, 3, 5])))
    if kernel[0] > h or kernel[1] > w:
        padding = "SAME"
    stride = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
    kind = rng.integers(0, 13)
    if kind == 0:
        return b.conv(x, int(rng.integers(1, 20)), (1, 1), activation=activation)
    if kind == 1:
        return b.conv(
            x,
            int(rng.integers(1, 20)),
            kernel,
            stride,
            padding,
            activation,
            per_channel=bool(rng.random() < 0.8),
            bias=bool(rng.random() < 0.8),
        )
    if kind in (2, 3):
        multiplier = 2 if c < 8 and rng.random() < 0.2 else 1
        return b.depthwise(x, kernel, stride, padding, activation, multiplier)
    if kind == 4:
        # An inverted residual: expand, depthwise, project, add.
        e = b.conv(x, c * int(rng.integers(2, 5)), activation="RELU6")
        d = b.depthwise(e, (3, 3), activation="RELU6")
        return b.add(x, b.conv(d, c))
    if kind == 5:
        k = (min(2, h), min(2, w))
        return b.pool(x, bool(rng.random() < 0.5), k, (1, 1) if rng.random() < 0.5 else k, padding)
    if kind == 6:
        pads = [[int(v) for v in rng.integers(0, 2, 2)] for _ in range(2)]
        return b.pad(x, [*pads, [0, 0]])
    if kind == 7:
        return b.concat(x, b.requantized(b.conv(x, int(rng.integers(1, 8))), x))
    if kind == 8:
        return b.squeeze_excite(x, int(rng.integers(1, 6)))
    if kind == 9:
        groups = int(rng.choice([n for n in range(1, c + 1) if c % n == 0]))
        channels = groups * int(rng.integers(1, 4))
        return b.conv(x, channels, kernel, stride, padding, activation, groups=groups)
    if kind == 10:
        mixed = b.gather(x, [int(i) for i in rng.permutation(c)])
        return b.maximum(x, mixed) if rng.random() < 0.5 else b.mul(x, mixed)
    if kind == 11:
        return b.lut(str(rng.choice(["HARD_SWISH", "LOGISTIC"])), x)
    return b.lut(str(rng.choice(["RELU", "RELU6", "QUANTIZE"])), x)


def _random_head(b: GraphBuilder, rng: np.random.Generator, x: int) -> int:
    if rng.random() < 0.5:
        x = b.mean(x, keep_dims=False)
    else:
        x = b.reshape(x, (1, int(np.prod(b.shape(x)))))
    return b.softmax(b.fully_connected(x, int(rng.integers(2, 12))))
