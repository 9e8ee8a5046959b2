"""Single operators of drawn shapes and constants: every kind, also at its extremes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from cases import CaseBuilder

from vadgen.model import Activation, Graph, Padding

_CHANNELS = (1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 17, 20, 24, 31, 32, 33, 40, 48, 65)
_ZERO_POINTS = (-128, -128, -127, -3, 0, 126, 127)
_ACTIVATIONS: tuple[Activation, ...] = ("NONE", "NONE", "RELU", "RELU6", "RELU_N1_TO_1")

Rng = np.random.Generator


def operator(seed: int) -> Graph:
    """The operator of kind `seed` modulo the number of kinds; all else is drawn from the seed."""
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    weighted = kind in _WEIGHTED
    wild = weighted and rng.random() < 0.5
    b = CaseBuilder(
        seed,
        (1, int(rng.integers(1, 14)), int(rng.integers(1, 21)), int(rng.choice(_CHANNELS))),
        zero_point=int(rng.choice(_ZERO_POINTS)),
        shift=int(rng.integers(-31, 3)) if wild else None,
        spread=int(rng.integers(0, 5)),
        weight=int(rng.choice([-127, 127])) if wild and rng.random() < 0.3 else None,
        bias=int(rng.choice([0, 20000, 2**29 - 1])) if wild else 20000,
        ties=bool(rng.random() < 0.2),
    )
    return b.graph(kind(b, rng))


def _activation(rng: Rng) -> Activation:
    return _ACTIVATIONS[int(rng.integers(len(_ACTIVATIONS)))]


def _window(b: CaseBuilder, rng: Rng, most: int) -> dict[str, Any]:
    """A kernel, mostly square, a stride and a padding that the input's size allows."""
    _, height, width, _ = b.shape(b.input)
    size = int(rng.choice([1, 2, 3, 3, 3, 5, 5, most]))
    kernel = (size, size) if rng.random() < 0.8 else (size, int(rng.integers(1, 4)))
    inside = kernel[0] <= height and kernel[1] <= width
    padding: Padding = "VALID" if inside and rng.random() < 0.3 else "SAME"
    across = int(rng.integers(1, 4))
    stride = (across, across) if rng.random() < 0.8 else (across, int(rng.integers(1, 4)))
    return {"kernel": kernel, "stride": stride, "padding": padding}


def _weighted(b: CaseBuilder, rng: Rng) -> dict[str, Any]:
    """What all operators with weights take."""
    return {
        "activation": _activation(rng),
        "per_channel": bool(rng.random() < 0.8),
        "bias": bool(rng.random() < 0.8),
        "scale": b.scale or float(rng.choice([0.02, 0.05, 0.3])),
    }


def _outputs(rng: Rng) -> int:
    return int(rng.choice(_CHANNELS))


def _pointwise(b: CaseBuilder, rng: Rng) -> int:
    return b.conv(b.input, _outputs(rng), **_weighted(b, rng))


def _conv(b: CaseBuilder, rng: Rng) -> int:
    return b.conv(b.input, _outputs(rng), **_window(b, rng, 4), **_weighted(b, rng))


def _group_conv(b: CaseBuilder, rng: Rng) -> int:
    channels = b.shape(b.input)[3]
    groups = int(rng.choice([n for n in range(1, channels + 1) if channels % n == 0]))
    outputs = groups * int(rng.integers(1, 4))
    return b.conv(b.input, outputs, groups=groups, **_window(b, rng, 4), **_weighted(b, rng))


def _depthwise(b: CaseBuilder, rng: Rng) -> int:
    few = b.shape(b.input)[3] < 8 and rng.random() < 0.3
    multiplier = int(rng.integers(2, 5)) if few else 1
    return b.depthwise(b.input, multiplier=multiplier, **_window(b, rng, 7), **_weighted(b, rng))


def _expanded_depthwise(b: CaseBuilder, rng: Rng) -> int:
    """Its input is a convolution's output, which may lie in planes."""
    before: Activation = "RELU6" if rng.random() < 0.7 else "NONE"
    x = b.conv(b.input, _outputs(rng), activation=before, scale=b.scale or 0.02)
    kernel = int(rng.choice([3, 5]))
    return b.depthwise(x, (kernel, kernel), (int(rng.integers(1, 3)),) * 2, **_weighted(b, rng))


def _fully_connected(b: CaseBuilder, rng: Rng) -> int:
    return b.fully_connected(b.input, _outputs(rng), **_weighted(b, rng))


def _add(b: CaseBuilder, rng: Rng) -> int:
    other = b.conv(b.input, b.shape(b.input)[3], scale=float(rng.choice([0.004, 2.0**-5, 0.2, 5])))
    inputs = (b.input, other) if rng.random() < 0.5 else (other, b.input)
    return b.add(*inputs, _activation(rng))


def _mul(b: CaseBuilder, rng: Rng) -> int:
    if rng.random() < 0.5:
        return b.mul_by_channel(b.input, bool(rng.random() < 0.5), _activation(rng))
    return b.mul_other(b.input, _activation(rng))


def _maximum(b: CaseBuilder, rng: Rng) -> int:
    return b.maximum_other(b.input)


def _gather(b: CaseBuilder, rng: Rng) -> int:
    channels = rng.integers(0, b.shape(b.input)[3], int(rng.integers(1, 20)))
    return b.gather(b.input, [int(c) for c in channels])


def _pad(b: CaseBuilder, rng: Rng) -> int:
    return b.pad(b.input, [[int(n) for n in rng.integers(0, 3, 2)] for _ in range(3)])


def _pool(b: CaseBuilder, rng: Rng) -> int:
    window = _window(b, rng, 4)
    return b.pool(b.input, bool(rng.random() < 0.6), activation=_activation(rng), **window)


def _mean(b: CaseBuilder, rng: Rng) -> int:
    return b.mean(b.input, keep_dims=bool(rng.random() < 0.5))


def _lut(b: CaseBuilder, rng: Rng) -> int:
    kinds = ["RELU", "RELU6", "QUANTIZE", "HARD_SWISH", "LOGISTIC"]
    return b.lut(str(rng.choice(kinds)), b.input)


def _softmax(b: CaseBuilder, rng: Rng) -> int:
    return b.softmax(b.input, beta=float(rng.choice([0.25, 1.0, 4.0])))


def _concat(b: CaseBuilder, rng: Rng) -> int:
    return b.concat_others(b.input, [_outputs(rng) for _ in range(int(rng.integers(1, 4)))])


def _reshape(b: CaseBuilder, rng: Rng) -> int:
    return b.reshape(b.input, (1, int(np.prod(b.shape(b.input)))))


_WEIGHTED: tuple[Callable[[CaseBuilder, Rng], int], ...] = (
    *(_pointwise, _conv, _group_conv, _depthwise, _expanded_depthwise, _fully_connected),
)
KINDS = (
    *_WEIGHTED,
    *(_add, _mul, _maximum, _gather, _pad, _pool, _mean, _lut, _softmax, _concat, _reshape),
)
