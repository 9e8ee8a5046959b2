"""Two ways to get the bits of `fixed.requantize` from the upper word of one product.

`vad_dsp.h` says how they compute. Here their constants are chosen for each output channel, and for
the short way it is proved, by trying every sum at which the output steps, that no sum which can
occur gives another output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadgen.fixed import requantize
from vadgen.lower import Requant

Int64 = NDArray[np.int64]

SHORT_SHIFT = 8
"""The right shift that ends the short way, the same for every channel."""
_CHOICES = 16
_MOST_RIGHT = 22
_LOW, _HIGH = -128, 127


@dataclass(frozen=True, eq=False)
class Channels:
    """Constants of the output channels.

    Attributes:
        weights: int64 (channels, taps); zeros for a channel whose output cannot change.
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
    def of(cls, weights: NDArray[Any], bias: NDArray[Any], zero_point: int) -> Sums:
        """Of centred int8 inputs; weights (channels, taps), zero_point of the input."""
        w, b = weights.astype(np.int64), bias.astype(np.int64)
        ends = np.stack([w * (_LOW - zero_point), w * (_HIGH - zero_point)])
        return cls(w, b, b + ends.min(axis=0).sum(axis=1), b + ends.max(axis=0).sum(axis=1))


def output(sums: Int64, requant: Requant, channel: NDArray[Any] | slice) -> Int64:
    """The int8 outputs of accumulators, one row a channel: what must be matched."""
    scaled = requantize(sums, requant.multiplier[channel][:, None], requant.shift[channel][:, None])
    return np.clip(scaled + requant.zero_point, requant.low, requant.high)


def _fixed_channels(sums: Sums, requant: Requant) -> tuple[NDArray[np.bool_], Int64]:
    """Channels whose output cannot change, and every channel's output at its least sum."""
    ends = output(np.stack([sums.low, sums.high], axis=1), requant, slice(None))
    return ends[:, 0] == ends[:, 1], ends[:, 0]


def signed(sums: Sums, requant: Requant) -> Channels | None:
    """Constants of the signed way, or None where a channel is beyond it."""
    if (requant.low, requant.high) != (_LOW, _HIGH):
        return None
    fixed, value = _fixed_channels(sums, requant)
    right = np.where(fixed, 1, -requant.shift.astype(np.int64))
    bound = np.maximum(np.abs(sums.low), np.abs(sums.high))
    if (right < 1).any() or (right > _MOST_RIGHT).any() or (bound[~fixed] >= 1 << 30).any():
        return None
    return Channels(
        np.where(fixed[:, None], 0, sums.weights),
        np.where(fixed, 0, sums.bias),
        np.where(fixed, 0, requant.multiplier.astype(np.int64)),
        np.where(fixed, value << 1, (1 << (right - 1)) + (requant.zero_point << right)),
        right,
    )


def short(sums: Sums, requant: Requant) -> Channels | None:
    """Constants of the short way, for int8 outputs, or None where a channel has none."""
    if (requant.zero_point, requant.low, requant.high) != (_LOW, _LOW, _HIGH):
        return None
    fixed, value = _fixed_channels(sums, requant)
    if (requant.shift[~fixed] > -1).any():
        return None
    found = Channels(
        np.where(fixed[:, None], 0, sums.weights),
        np.zeros_like(sums.bias),
        np.zeros_like(sums.bias),
        value << SHORT_SHIFT,
        np.zeros_like(sums.bias),
    )
    todo = np.flatnonzero(~fixed)
    for choice in range(_CHOICES):
        if not len(todo):
            break
        guess = _guess(sums, requant, todo, choice)
        good = _holds(sums, requant, todo, *guess)
        for have, new in zip(
            (found.shift, found.multiplier, found.bias, found.constant), guess, strict=True
        ):
            have[todo[good]] = new[good]
        todo = todo[~good]
    return None if len(todo) else found


def _guess(
    sums: Sums, requant: Requant, of: NDArray[np.intp], choice: int
) -> tuple[Int64, Int64, Int64, Int64]:
    """Scale, multiplier, bias and constant of the channels `of`.

    With r the right shift, both roundings together add `2^30 + 2^(30 + r)`, so the output is
    `(sum * multiplier + 2^30 + 2^(30 + r)) >> (31 + r)`. Times 2^(9 - r), which is the scale less
    the bits that the multiplier loses, it is `(... + 2^(39 - r) + 2^39) >> 40`. 2^39 is a constant
    of 128 in the upper word, and from a scale of 4 on 2^(39 - r) is one, too. Below, a difference
    of the bias times the multiplier comes near to it; what the multiplier loses is made up for in
    the middle of the sums. `choice` counts through such differences, and through the multipliers
    on both sides,
    and through scales.
    """
    right = -requant.shift[of].astype(np.int64)
    more = np.where(right > 7, choice // 4, 0)
    scale = np.maximum(9 - right, 0) + more
    loss = np.maximum(right - 9, 0) + more
    given = requant.multiplier[of].astype(np.int64)
    multiplier = given >> loss if choice % 2 == 0 else -(-given >> loss)
    bias = sums.bias[of] << scale
    constant = (1 << scale >> 2) + np.full_like(bias, 128)
    # A greater bias would want a constant below int16.
    differences = np.arange(-(1 << (14 if choice < 2 else 17)), 1 << 7)
    for i in np.flatnonzero(right > 7):
        middle = min(int(sums.high[of[i]]), (255 << 31 + int(right[i])) // int(given[i])) // 2
        lost = ((int(multiplier[i]) << int(loss[i])) - int(given[i])) * middle >> int(loss[i])
        rest = (1 << 39 - int(right[i])) - lost - differences * multiplier[i]
        far = np.abs((rest + (1 << 31)) % (1 << 32) - (1 << 31))
        at = np.argpartition(far, choice % 4)[choice % 4]
        bias[i] += differences[at]
        constant[i] = 128 + ((int(rest[at]) + (1 << 31)) >> 32)
    constant += _LOW << SHORT_SHIFT
    return scale, multiplier, bias, constant


def _holds(
    sums: Sums,
    requant: Requant,
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
    # Output u - 128 starts where sum * multiplier >= (u * 2^r - 2^(r - 1)) * 2^31 - 2^30.
    right = -requant.shift[of].astype(np.int64)[:, None]
    u = np.arange(1, 256)[None]
    start = np.minimum((u << right) - (1 << (right - 1)), 1 << 31)
    divisor = np.maximum(requant.multiplier[of].astype(np.int64), 1)[:, None]
    steps = -(((1 << 30) - (start << 31)) // divisor)
    inside = (steps > low) & (steps <= high)
    assert (output(steps, requant, of) >= u + _LOW)[inside].all()
    assert (output(steps - 1, requant, of) < u + _LOW)[inside].all()
    points = np.concatenate([np.clip(steps, low, high), np.clip(steps - 1, low, high)], axis=1)
    points = np.concatenate([points, low, high], axis=1)
    scaled = ((points - sums.bias[of][:, None]) << scale[:, None]) + bias[:, None]
    total = (scaled * multiplier[:, None] >> 32) + constant[:, None]
    same = np.clip(total >> SHORT_SHIFT, _LOW, _HIGH) == output(points, requant, of)
    fits = (np.abs(scaled) < 1 << 31) & (np.abs(total) < 1 << 31) & same
    all_fit: NDArray[np.bool_] = fits.all(axis=1) & (constant == constant.astype(np.int16))
    return all_fit
