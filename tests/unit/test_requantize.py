"""The short requantizations against the definition, sum by sum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cases import CaseBuilder
from numpy.typing import NDArray

from vadgen.fixed import requantize
from vadgen.kernels.requantize import SHORT_SHIFT, Channels, Sums, settled, short, signed
from vadgen.lower import Conv2d, Requant, lower
from vadgen.ref.program import run_program


def convolution(seed: int, channels: int = 12, low: int = -128, zero_point: int = -128) -> Conv2d:
    """A 1x1 convolution of 8 channels with right shifts from 1 to 12."""
    rng = np.random.default_rng(seed)
    requant = Requant(
        rng.integers(1 << 30, 1 << 31, channels).astype(np.int32),
        -rng.permutation(channels).astype(np.int32) - 1,
        zero_point,
        low,
        127,
    )
    weights = rng.integers(-127, 128, (channels, 1, 1, 8)).astype(np.int8)
    bias = rng.integers(-20000, 20000, channels).astype(np.int32)
    return Conv2d("c", (0,), 1, 1, 1, 1, 1, 0, 0, weights, bias, requant)


def all_sums(sums: Sums, channel: int) -> NDArray[np.int64]:
    return np.arange(sums.low[channel], sums.high[channel] + 1)


def definition(requant: Requant, channel: int, sums: NDArray[np.int64]) -> NDArray[np.int64]:
    scaled = requantize(sums, requant.multiplier[channel], requant.shift[channel])
    return np.clip(scaled + requant.zero_point, requant.low, requant.high)


def short_way(c: Channels, sums: Sums, channel: int, of: NDArray[np.int64]) -> NDArray[np.int64]:
    """As vad_dsp.h has it: scaled weights and bias, upper word, constant, shift."""
    scaled = ((of - sums.bias[channel]) << c.shift[channel]) + c.bias[channel]
    assert np.abs(scaled).max() < 1 << 31
    upper = scaled * c.multiplier[channel] >> 32
    return np.clip(upper + c.constant[channel] >> SHORT_SHIFT, -128, 127)


def signed_way(c: Channels, channel: int, of: NDArray[np.int64]) -> NDArray[np.int64]:
    upper = (2 * of * c.multiplier[channel] + (1 << 31)) >> 32
    total = upper + c.constant[channel] - (of < 0)
    return np.clip(total >> c.shift[channel], -128, 127)


@pytest.mark.parametrize("seed", range(8))
def test_short_is_the_definition_for_every_sum(seed: int) -> None:
    layer = convolution(seed)
    sums = Sums.of(layer, zero_point=int(np.random.default_rng(seed).choice([-128, 0, 5])))
    channels = short(sums, layer.requant)
    assert channels is not None
    for i in range(len(layer.bias)):
        points = all_sums(sums, i)
        made = short_way(channels, sums, i, points)
        np.testing.assert_array_equal(made, definition(layer.requant, i, points), f"channel {i}")
    scaled = channels.weights << channels.shift[:, None]
    assert (scaled == scaled.astype(np.int16)).all()
    assert (channels.constant == channels.constant.astype(np.int16)).all()


@pytest.mark.parametrize("zero_point", [-128, -7, 127])
def test_signed_is_the_definition_for_every_sum(zero_point: int) -> None:
    layer = convolution(1, zero_point=zero_point)
    sums = Sums.of(layer, zero_point=3)
    channels = signed(sums, layer.requant)
    assert channels is not None
    for i in range(len(layer.bias)):
        points = all_sums(sums, i)
        made = signed_way(channels, i, points)
        np.testing.assert_array_equal(made, definition(layer.requant, i, points), f"channel {i}")


def test_sums_are_those_that_occur() -> None:
    layer = convolution(2, channels=3)
    sums = Sums.of(layer, zero_point=-5)
    taps = layer.weights.reshape(3, 8).astype(np.int64)
    greatest = np.where(taps > 0, 127, -128) + 5
    np.testing.assert_array_equal(sums.high, (taps * greatest).sum(axis=1) + layer.bias)
    least = np.where(taps > 0, -128, 127) + 5
    np.testing.assert_array_equal(sums.low, (taps * least).sum(axis=1) + layer.bias)


def test_what_the_ways_refuse() -> None:
    layer = convolution(3)
    sums = Sums.of(layer, zero_point=0)
    assert short(sums, replace(layer.requant, zero_point=-127)) is None
    assert short(sums, replace(layer.requant, high=100)) is None
    assert signed(sums, replace(layer.requant, low=-100)) is None
    for bad in (0, 3):
        shift = layer.requant.shift.copy()
        shift[4] = bad
        assert short(sums, replace(layer.requant, shift=shift)) is None
        assert signed(sums, replace(layer.requant, shift=shift)) is None
    large = replace(layer, bias=layer.bias + np.int32(1 << 30))
    assert signed(Sums.of(large, 0), layer.requant) is None


@pytest.mark.parametrize("depthwise", [False, True])
def test_settled_layers_give_the_same(depthwise: bool) -> None:
    b = CaseBuilder(5, (1, 5, 4, 6), shift=-24, bias=2**29)
    made = b.depthwise(b.input, scale=b.scale) if depthwise else b.conv(b.input, 9, scale=b.scale)
    program = lower(b.graph(made))
    layer = program.layers[0]
    plain = settled(layer, program.values[0].zero_point)
    assert plain is not layer
    assert (np.abs(plain.bias) <= 4 * 255).all()
    images = np.random.default_rng(0).integers(-128, 128, (3, 5, 4, 6)).astype(np.int8)
    for image in images:
        want = run_program(program, image)[1]
        np.testing.assert_array_equal(
            run_program(replace(program, layers=(plain,)), image)[1], want
        )


def test_channels_whose_sums_wrap_are_not_settled() -> None:
    """Shifted left by 20, the least and the greatest sum give -128, those between do not."""
    layer = replace(
        convolution(6, channels=1),
        weights=np.full((1, 1, 1, 8), 2, np.int8),
        bias=np.array([2040], np.int32),
        requant=Requant(np.int32([1 << 30]), np.int32([20]), 0, -128, 127),
    )
    sums = Sums.of(layer, zero_point=0)
    outputs = definition(layer.requant, 0, all_sums(sums, 0))
    assert outputs[0] == outputs[-1] == -128
    assert outputs.max() == 127
    assert settled(layer, zero_point=0) is layer


def test_a_layer_that_changes_is_left_alone() -> None:
    layer = convolution(4)
    assert settled(layer, zero_point=0) is layer
