"""Single-layer networks from formulas: the cases of `tests/vectors/*.json`.

A case is a name, a seed, the input's shape, the operator with its arguments, and the SHA-256 of the
expected output. Everything else, weights and pixels, follows from the seed by SplitMix64, so that a
case means the same with every numpy and can be made in any language.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from graphs import GraphBuilder
from numpy.typing import NDArray

from vadgen.model import Activation, Graph, Tensor

FOLDER = Path(__file__).parent / "vectors"
KERNELS = (
    *("add", "concat", "conv2d", "copy", "depthwise_conv2d", "gather", "group_conv2d"),
    *("lut", "maximum", "mean", "mul", "pad", "pool", "softmax"),
)
_INPUT_SCALE = 2.0**-5
_WEIGHT_SCALE = 2.0**-7


class Draws:
    """The part of `numpy.random.Generator` that graphs need, as SplitMix64.

    Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
    """

    def __init__(self, seed: int) -> None:
        self._state = seed

    def bits(self, count: int) -> NDArray[np.uint64]:
        """The next `count` 64-bit numbers."""
        steps = np.arange(self._state + 1, self._state + 1 + count, dtype=np.uint64)
        self._state += count
        z = steps * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))

    def integers(self, low: int, high: int, size: Any = None) -> Any:
        """Integers in [low, high): the 64 bits modulo the number of them."""
        count = 1 if size is None else int(np.prod(size))
        drawn = low + (self.bits(count) % np.uint64(high - low)).astype(np.int64)
        return int(drawn[0]) if size is None else drawn.reshape(size)

    def uniform(self, low: float, high: float, size: Any = None) -> Any:
        """Floats in [low, high): the upper 53 of the 64 bits."""
        count = 1 if size is None else int(np.prod(size))
        unit = (self.bits(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        drawn = low + (high - low) * unit
        return float(drawn[0]) if size is None else drawn.reshape(size)


class CaseBuilder(GraphBuilder):
    """A GraphBuilder whose requantization shifts, weights and biases can be chosen.

    Args:
        seed: of all draws.
        shape: of the input, with batch.
        zero_point: of the input; drawn when None.
        shift: of the requantization, in a channel whose weight scale is largest.
        spread: channels' shifts go down to `shift - spread`.
        weight: the value of all weights; drawn when None.
        bias: biases are drawn from -bias .. bias.
        ties: multipliers are exactly 2^30, so that every second sum lies between two integers.
    """

    def __init__(
        self,
        seed: int,
        shape: tuple[int, ...],
        zero_point: int | None = None,
        shift: int | None = None,
        spread: int = 0,
        weight: int | None = None,
        bias: int = 20000,
        ties: bool = False,
    ) -> None:
        self.rng = Draws(seed)  # type: ignore[assignment]
        self.tensors = []
        self.ops = []
        self.scale = None if shift is None else _INPUT_SCALE * _WEIGHT_SCALE / 2.0**shift
        self.spread = spread
        self.weight = weight
        self.bias_limit = bias
        self.ties = ties
        drawn = int(self.rng.integers(-128, 128))
        self.input = self._activation(
            shape, _INPUT_SCALE, drawn if zero_point is None else zero_point
        )

    def _weights(self, shape: tuple[int, ...], axis: int, per_channel: bool) -> int:
        data = self.rng.integers(-127, 128, shape).astype(np.int8)
        if self.weight is not None:
            data[:] = self.weight
        count = shape[axis] if per_channel else 1
        # In [1/2, 1), so that the multiplier's exponent is that of the other scales.
        scales = self.rng.uniform(0.5, 0.5 if self.ties else 1.0, count) * _WEIGHT_SCALE
        scales *= 2.0 ** -self.rng.integers(0, self.spread + 1, count).astype(np.float64)
        return self._append(
            Tensor(f"w{len(self.tensors)}", shape, "int8", np.float32(scales), axis=axis, data=data)
        )

    def _bias(self, source: int, weights: int, channels: int) -> int:
        scales = np.float32(self.tensors[source].scale) * self.tensors[weights].scales
        data = self.rng.integers(-self.bias_limit, self.bias_limit + 1, channels).astype(np.int32)
        return self._append(
            Tensor(f"b{len(self.tensors)}", (channels,), "int32", scales, data=data)
        )

    def add_other(self, a: int, activation: Activation = "NONE") -> int:
        """ADD of `a` and a convolution of it."""
        return self.add(a, self.conv(a, self.shape(a)[-1], scale=self.scale), activation)

    def by_table(self, a: int, kind: str) -> int:
        """RELU, RELU6, QUANTIZE, HARD_SWISH or LOGISTIC."""
        return self.lut(kind, a)

    def add_self(self, a: int) -> int:
        """ADD of `a` and itself."""
        return self.add(a, a)

    def mul_other(self, a: int, activation: Activation = "NONE", scale: float = 0) -> int:
        """MUL of `a` and a convolution of it."""
        return self.mul(a, self.conv(a, self.shape(a)[-1]), activation, scale)

    def mul_by_channel(self, a: int, first: bool = True, activation: Activation = "NONE") -> int:
        """MUL of `a` and its mean over the image, which may be the first input."""
        pixel = self.mean(a, keep_dims=first)
        if first:
            return self.mul(a, pixel, activation)
        out = self.mul(a, pixel, activation)
        made = self.ops.pop()
        return self._emit(made.kind, made.inputs[::-1], out, made.options)

    def maximum_other(self, a: int) -> int:
        """MAXIMUM of `a` and a convolution of it."""
        return self.maximum(a, self.requantized(self.conv(a, self.shape(a)[-1]), a))

    def concat_others(self, a: int, channels: list[int]) -> int:
        """CONCATENATION of `a` and convolutions of it."""
        others = [self.requantized(self.conv(a, c), a) for c in channels]
        return self.concat(a, *others)


@dataclass(frozen=True)
class Case:
    """One case: `op` is a method of CaseBuilder, `args` its arguments, `tensors` the builder's."""

    kernel: str
    name: str
    seed: int
    input: tuple[int, ...]
    op: str
    args: dict[str, Any]
    tensors: dict[str, Any]
    sha256: str

    def graph(self) -> Graph:
        """The network of this one operator (and of what feeds its second input)."""
        builder = CaseBuilder(self.seed, (1, *self.input), **self.tensors)
        args = {k: tuple(v) if k in _TUPLES else v for k, v in self.args.items()}
        if builder.scale is not None and self.op != "add_other":
            args["scale"] = builder.scale
        return builder.graph(getattr(builder, self.op)(builder.input, **args))

    def images(self) -> NDArray[np.int8]:
        """int8 (2, *input): the first of all values, the second of the extremes alone."""
        draws = Draws(self.seed + (1 << 32))
        shape = self.input
        first = draws.integers(-128, 128, shape)
        second = draws.integers(0, 2, shape) * 255 - 128
        return np.stack([first, second]).astype(np.int8)


_TUPLES = ("kernel", "stride", "shape")


def digest(outputs: NDArray[np.int8]) -> str:
    """SHA-256 of the bytes of the outputs, image after image."""
    return hashlib.sha256(np.ascontiguousarray(outputs).tobytes()).hexdigest()


def load(kernel: str) -> list[Case]:
    """The cases of a kernel."""
    stored = json.loads((FOLDER / f"{kernel}.json").read_text(encoding="utf-8"))
    return [
        Case(
            kernel,
            c["name"],
            c["seed"],
            tuple(c["input"]),
            c["op"],
            c.get("args", {}),
            c.get("tensors", {}),
            c.get("sha256", ""),
        )
        for c in stored["cases"]
    ]
