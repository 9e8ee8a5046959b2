"""Helium: its requantizations against the definition, what its kernels take, how weights lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cases import CaseBuilder
from numpy.typing import NDArray

from vadgen.fixed import requantize
from vadgen.kernels import select
from vadgen.kernels.base import Array, Call
from vadgen.lower import Conv2d, DepthwiseConv2d, lower
from vadgen.plan.planner import make_plan

MVE = ("mve", "dsp", "portable")
RELU6_SCALE = 0.02
EDGES = np.array([-(2**31) + 1, -(2**30), -(2**23) - 1, 2**23, 2**30, 2**31 - 1])


def by_helium(
    x: NDArray[np.int64], multiplier: int, left: int, zero_point: int, ties: bool
) -> NDArray[np.int64]:
    """As vad_mve.h has it; every line one instruction, on integers without bounds."""
    t = (2 * x * multiplier + (1 << 31)) >> 32
    if ties:
        t = t + (t >> 31)
        assert np.abs(t).max() <= 1 << 31
    t = (t + (1 << -left >> 1)) >> -left
    t = np.clip(t, -(1 << 15), (1 << 15) - 1)
    t = np.clip(t + zero_point, -(1 << 15), (1 << 15) - 1)
    return np.clip(t, -128, 127)


def definition(
    x: NDArray[np.int64], multiplier: int, left: int, zero_point: int
) -> NDArray[np.int64]:
    return np.clip(requantize(x, multiplier, left) + zero_point, -128, 127)


@pytest.mark.parametrize("left", [-1, -2, -3, -7, -12, -22, -31])
@pytest.mark.parametrize("multiplier", [0, 1 << 30, (1 << 30) + 1, 1518500250, 2**31 - 1])
def test_requantization_is_the_definition(left: int, multiplier: int) -> None:
    window = np.arange(-3000, 3001)
    shifts = np.unique(np.concatenate([[0], EDGES, (1 << np.arange(31)), -(1 << np.arange(31))]))
    x = np.clip((shifts[:, None] + window).reshape(-1), -(2**31) + 1, 2**31 - 1)
    relu = by_helium(x, multiplier, left, -128, ties=False)
    np.testing.assert_array_equal(relu, definition(x, multiplier, left, -128))
    for zero_point in (-128, -3, 127):
        signed = by_helium(x, multiplier, left, zero_point, ties=True)
        np.testing.assert_array_equal(signed, definition(x, multiplier, left, zero_point))


def stem(zero_point: int | None = None) -> tuple[Conv2d, list[Call]]:
    """A stem before a depthwise convolution and a pointwise one, and their calls."""
    b = CaseBuilder(3, (1, 16, 20, 3), zero_point=zero_point)
    x = b.conv(b.input, 8, (3, 3), (2, 2), activation="RELU6", scale=RELU6_SCALE)
    x = b.depthwise(x, (3, 3), activation="RELU6", scale=RELU6_SCALE)
    plan = make_plan(lower(b.graph(b.conv(x, 5, scale=0.05))), MVE)
    layer = plan.program.layers[0]
    assert isinstance(layer, Conv2d)
    return layer, list(plan.calls)


def test_a_network_runs_on_helium_by_planes() -> None:
    _, calls = stem()
    assert [c.function for c in calls] == [
        "vad_conv2d_mve",
        "vad_depthwise_mve_planes",
        "vad_pointwise_mve",
    ]
    assert [dict(c.fields).get("dots") for c in calls] == [
        "vad_mve_dots_32",
        None,
        "vad_mve_dots_rows_signed",
    ]


def test_planes_of_bytes_need_no_memory() -> None:
    b = CaseBuilder(4, (1, 9, 11, 8))
    x = b.conv(b.input, 24, activation="RELU6", scale=RELU6_SCALE)
    program = lower(b.graph(b.depthwise(x, activation="RELU6", scale=RELU6_SCALE)))
    plan, portable = make_plan(program, MVE), make_plan(program, ("portable",))
    ring = plan.rings[1]
    assert ring.planes is not None
    assert ring.pitch == portable.rings[1].pitch == 11 * 24
    assert plan.arena_bytes >= max(r.offset + r.ring * r.pitch for r in plan.rings.values()) + 15


def test_weights_and_constants_lie_as_the_loops_read_them() -> None:
    layer, calls = stem(zero_point=-7)
    stream = dict(calls[0].fields)["stream"]
    assert isinstance(stream, Array)
    pair = stream.data[1]
    taps = layer.weights.reshape(8, -1)
    weights = pair[:16].astype("<i4").view(np.int8).reshape(2, 32)
    np.testing.assert_array_equal(weights[:, :27], taps[2:4])
    assert not weights[:, 27:].any()
    for i in (2, 3):
        bias, multiplier, shift = pair[16 + 3 * (i - 2) :][:3]
        assert bias == layer.bias[i] + 7 * taps[i].astype(int).sum()
        assert (multiplier, shift) == (layer.requant.multiplier[i], layer.requant.shift[i])


def test_what_is_left_to_other_sets() -> None:
    b = CaseBuilder(5, (1, 9, 9, 8))
    x = b.conv(b.input, 8, activation="RELU6", scale=RELU6_SCALE)
    x = b.depthwise(x, (3, 3), (3, 3))
    x = b.pool(x, True, (17, 17), (1, 1), "SAME")
    x = b.pool(x, False, (17, 17), (1, 1), "SAME")
    program = lower(b.graph(b.depthwise(x, (1, 8))))
    conv = program.layers[0]
    assert isinstance(conv, Conv2d)
    assert [select(layer, program, MVE).function for layer in program.layers] == [
        "vad_pointwise_mve",
        "vad_depthwise_conv2d",
        "vad_average_pool",
        "vad_max_pool_mve",
        "vad_depthwise_conv2d",
    ]
    for requant in (
        replace(conv.requant, low=-100),
        replace(conv.requant, shift=0 * conv.requant.shift),
        replace(conv.requant, shift=conv.requant.shift + 40),
    ):
        other = replace(conv, requant=requant)
        assert select(other, program, MVE).function == "vad_pointwise"


@pytest.mark.parametrize(
    ("kernel", "multiplier", "row", "places"),
    [
        ((2, 3), 1, "3_2", [[0, 4, 8], [1, 5, 9]]),
        ((1, 4), 2, "5_2", [[0, 4, 8, 12]]),
        (
            (5, 5),
            1,
            "5_2",
            [
                [0, 4, 8, 12, 16],
                *([i, i + 4, i + 8, i + 12, i + 16] for i in (1, 2, 3)),
                [*range(32, 37)],
            ],
        ),
        ((7, 1), 3, "7_2", [[0], [1], [2], [3], [32], [33], [34]]),
    ],
)
def test_windows_lie_in_the_corner_of_a_larger_one(
    kernel: tuple[int, int], multiplier: int, row: str, places: list[list[int]]
) -> None:
    b = CaseBuilder(6, (1, 9, 9, 4), bias=0)
    program = lower(b.graph(b.depthwise(b.input, kernel, (2, 2), multiplier=multiplier)))
    layer = program.layers[0]
    assert isinstance(layer, DepthwiseConv2d)
    fields = dict(select(layer, program, MVE).fields)
    assert fields["row"] == f"vad_mve_depthwise_{row}_signed"
    constants = fields["constants"]
    assert isinstance(constants, Array)
    windows = np.ascontiguousarray(constants.data[:, :-3]).astype("<i4").view(np.int8)
    np.testing.assert_array_equal(windows[:, places], layer.weights.transpose(2, 0, 1))
    assert np.count_nonzero(windows) == np.count_nonzero(layer.weights)


def test_means_round_as_the_definition() -> None:
    """Every sum of up to 256 int8, as vad_pool_mve.c has it."""
    for count in range(1, 257):
        sums = np.arange(-128 * count, 127 * count + 1)
        by_helium = (2 * (2 * sums) * ((1 << 30) // count + 1) + (1 << 31)) >> 32
        magnitude = (np.abs(sums) + count // 2) // count
        np.testing.assert_array_equal(by_helium, np.sign(sums) * magnitude)
