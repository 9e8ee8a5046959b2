"""Two ways to get the bits of `fixed.requantize` from the upper word of one product.

`vad_dsp.h` says how they compute. Here their constants are chosen for each output channel, and for
the short way it is proved, by trying every sum at which the output steps, that no sum which can
occur gives another output.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vadgen.fixed import requantize, wrap_int32
from vadgen.lower import Conv2d, DepthwiseConv2d, Requant

Int64 = NDArray[np.int64]
WeightsT = TypeVar("WeightsT", bound=Conv2d | DepthwiseConv2d)

SHORT_SHIFT = 8
"""The right shift that ends the short way, the same for every channel."""
_CHOICES = 8
_MOST_RIGHT = 22
_LOW, _HIGH = -128, 127
_U = np.arange(1, 256)


@dataclass(frozen=True, eq=False)
class Channels:
    """Constants of the output channels.

    Attributes:
        weights: int64 (channels, taps).
        bias: int64 (channels,), to be added to the sum of centred inputs times weights.
        multiplier, constant: int64 (channels,); the short way's constant fits int16.
        shift: int64 (channels,): signed: the right shift at the end; short: weights and bias are
            scaled by 2^shift (`bias` is already).
    """

    weights: Int64
    bias: Int64
    multiplier: Int64
    constant: Int64
    shift: Int64


@dataclass(frozen=True, eq=False)
class Sums:
    """What a layer's accumulators can be.

    Attributes:
        weights: int64 (channels, taps).
        bias: int64 (channels,).
        low, high: int64 (channels,), the least and the greatest accumulator.
    """

    weights: Int64
    bias: Int64
    low: Int64
    high: Int64

    @classmethod
    def of(cls, layer: Conv2d | DepthwiseConv2d, zero_point: int) -> Sums:
        """Of a layer whose inputs have that zero point, over all int8 inputs."""
        w, b = taps(layer).astype(np.int64), layer.bias.astype(np.int64)
        ends = np.stack([w * (_LOW - zero_point), w * (_HIGH - zero_point)])
        return cls(w, b, b + ends.min(axis=0).sum(axis=1), b + ends.max(axis=0).sum(axis=1))


def taps(layer: Conv2d | DepthwiseConv2d) -> NDArray[np.int8]:
    """Weights as (output channels, taps)."""
    if isinstance(layer, Conv2d):
        return layer.weights.reshape(len(layer.weights), -1)
    return np.ascontiguousarray(layer.weights.reshape(-1, layer.weights.shape[-1]).T)


def output(sums: Int64, requant: Requant, channel: NDArray[Any] | slice) -> Int64:
    """The int8 outputs of accumulators, one row a channel: what must be matched."""
    scaled = requantize(sums, requant.multiplier[channel][:, None], requant.shift[channel][:, None])
    return np.clip(wrap_int32(scaled + requant.zero_point), requant.low, requant.high)


def settled(layer: WeightsT, zero_point: int) -> WeightsT:
    """The layer with plain constants where an output channel cannot change.

    Networks have channels with next to no weights and a large bias, whose sums are beyond what
    fast kernels take. Zero weights, a bias of 4 outputs and a multiplier of 1/4 give the same.

    Args:
        layer: the integer layer.
        zero_point: of its input.
    """
    sums, requant = Sums.of(layer, zero_point), layer.requant
    ends = output(np.stack([sums.low, sums.high], axis=1), requant, slice(None))
    shifted = np.maximum(np.abs(sums.low), np.abs(sums.high)) << np.maximum(requant.shift, 0)
    # What wraps does not rise with the sum.
    idle = (ends[:, 0] == ends[:, 1]) & (shifted < (1 << 31) - 128)
    if not idle.any():
        return layer
    axis = 0 if isinstance(layer, Conv2d) else 2
    shape = [1] * layer.weights.ndim
    shape[axis] = -1
    return dataclasses.replace(
        layer,
        weights=np.where(idle.reshape(shape), np.int8(0), layer.weights),
        bias=np.where(idle, 4 * (ends[:, 0] - requant.zero_point), layer.bias).astype(np.int32),
        requant=dataclasses.replace(
            requant,
            multiplier=np.where(idle, 1 << 30, requant.multiplier).astype(np.int32),
            shift=np.where(idle, -1, requant.shift).astype(np.int32),
        ),
    )


def signed(sums: Sums, requant: Requant) -> Channels | None:
    """Constants of the signed way, or None where a channel is beyond it."""
    right = -requant.shift.astype(np.int64)
    bound = np.maximum(np.abs(sums.low), np.abs(sums.high))
    limits = (requant.low, requant.high) == (_LOW, _HIGH)
    if not limits or (right < 1).any() or (right > _MOST_RIGHT).any() or (bound >= 1 << 30).any():
        return None
    constant = (1 << (right - 1)) + (requant.zero_point << right)
    return Channels(sums.weights, sums.bias, requant.multiplier.astype(np.int64), constant, right)


def short(sums: Sums, requant: Requant) -> Channels | None:
    """Constants of the short way, for int8 outputs, or None where a channel has none."""
    if (requant.zero_point, requant.low, requant.high) != (_LOW, _LOW, _HIGH):
        return None
    if (requant.shift > -1).any():
        return None
    todo = np.arange(len(sums.bias))
    steps = _steps(sums, requant)
    found = _guess(sums, requant, steps, todo, 0)
    for choice in range(_CHOICES):
        guess = found if choice == 0 else _guess(sums, requant, steps, todo, choice)
        good = _holds(sums, requant, steps, todo, *guess)
        for have, new in zip(found, guess, strict=True):
            have[todo[good]] = new[good]
        todo = todo[~good]
        if not len(todo):
            scale, multiplier, bias, constant = found
            return Channels(sums.weights, bias, multiplier, constant, scale)
    return None


def _steps(sums: Sums, requant: Requant) -> Int64:
    """The sums from which on the output is u - 128, for u = 1 .. 255: (channels, 255).

    That is where `sum * multiplier >= (u * 2^r - 2^(r - 1)) * 2^31 - 2^30`, with r the right shift.
    """
    right = -requant.shift.astype(np.int64)[:, None]
    start = np.minimum((_U << right) - (1 << (right - 1)), 1 << 31)
    steps = -(((1 << 30) - (start << 31)) // requant.multiplier.astype(np.int64)[:, None])
    inside = (steps > sums.low[:, None]) & (steps <= sums.high[:, None])
    assert (output(steps, requant, slice(None)) >= _U + _LOW)[inside].all()
    assert (output(steps - 1, requant, slice(None)) < _U + _LOW)[inside].all()
    return steps


def _guess(
    sums: Sums, requant: Requant, steps: Int64, of: NDArray[np.intp], choice: int
) -> tuple[Int64, Int64, Int64, Int64]:
    """Scale, multiplier, bias and constant of the channels `of`.

    With r the right shift, both roundings together add `2^30 + 2^(30 + r)`, so the output is
    `(sum * multiplier + 2^30 + 2^(30 + r)) >> (31 + r)`. Times 2^(9 - r), which is the scale less
    the bits that the multiplier loses, it is `(... + 2^(39 - r) + 2^39) >> 40`. 2^39 is a constant
    of 128 in the upper word, and from a scale of 4 on 2^(39 - r) is one, too. Below, a difference
    of the bias times the multiplier, and a constant, come near to it: nearest to the middle of what
    gives the same outputs. `choice` counts through scales, and the multipliers on both sides.
    """
    right = -requant.shift[of].astype(np.int64)
    more = np.where(right > 7, choice // 2, 0)
    scale = np.maximum(9 - right, 0) + more
    loss = np.maximum(right - 9, 0) + more
    given = requant.multiplier[of].astype(np.int64)
    multiplier = given >> loss if choice % 2 == 0 else -(-given >> loss)
    bias = sums.bias[of] << scale
    constant = (1 << scale >> 2) + np.full_like(bias, 128)
    # A greater bias would want a constant below int16.
    differences = np.arange(-(1 << (14 if choice == 0 else 17)), 1 << 7)
    for i in np.flatnonzero(right > 7):
        step = steps[of[i]]
        u = _U[(step > sums.low[of[i]]) & (step <= sums.high[of[i]])]
        least = (u << 40) - (1 << 39) - ((step[u - 1] * multiplier[i]) << scale[i])
        most = least + (multiplier[i] << scale[i])
        middle = (int(least.max()) + int(most.min())) // 2
        rest = middle - differences * multiplier[i]
        far = np.abs((rest + (1 << 31)) % (1 << 32) - (1 << 31))
        at = far.argmin()
        bias[i] += differences[at]
        constant[i] = 128 + ((int(rest[at]) + (1 << 31)) >> 32)
    constant += _LOW << SHORT_SHIFT
    return scale, multiplier, bias, constant


def _holds(
    sums: Sums,
    requant: Requant,
    steps: Int64,
    of: NDArray[np.intp],
    scale: Int64,
    multiplier: Int64,
    bias: Int64,
    constant: Int64,
) -> NDArray[np.bool_]:
    """Whether the short way gives every output of the channels `of`.

    Both ways only rise with the sum, so they agree everywhere when they agree at the least sum, the
    greatest, and on both sides of each step.
    """
    low, high = sums.low[of][:, None], sums.high[of][:, None]
    points = np.concatenate([steps[of], steps[of] - 1], axis=1)
    points = np.concatenate([np.clip(points, low, high), low, high], axis=1)
    scaled = ((points - sums.bias[of][:, None]) << scale[:, None]) + bias[:, None]
    total = (scaled * multiplier[:, None] >> 32) + constant[:, None]
    same = np.clip(total >> SHORT_SHIFT, _LOW, _HIGH) == output(points, requant, of)
    fits = (np.abs(scaled) < 1 << 31) & (np.abs(total) < 1 << 31) & same
    all_fit: NDArray[np.bool_] = fits.all(axis=1) & (constant == constant.astype(np.int16))
    return all_fit
