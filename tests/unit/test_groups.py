"""Convolutions in groups as plain ones: the same outputs, the portable kernel for short flash."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CaseBuilder

from vadgen.kernels import select
from vadgen.kernels.groups import plain
from vadgen.lower import GroupConv2d, Program, lower
from vadgen.plan.planner import make_plan
from vadgen.ref.conv2d import conv2d
from vadgen.ref.group_conv2d import group_conv2d


def grouped(outputs: int, groups: int, kernel: tuple[int, int] = (1, 1)) -> Program:
    b = CaseBuilder(9, (1, 6, 6, 16))
    return lower(b.graph(b.conv(b.input, outputs, kernel, groups=groups, padding="SAME")))


def test_a_plain_convolution_gives_the_same() -> None:
    program = grouped(12, 4, (3, 3))
    layer = program.layers[0]
    assert isinstance(layer, GroupConv2d)
    assert np.count_nonzero(plain(layer).weights) == np.count_nonzero(layer.weights)
    x = np.random.default_rng(0).integers(-128, 128, (6, 6, 16)).astype(np.int8)
    np.testing.assert_array_equal(
        conv2d(plain(layer), program.values, x), group_conv2d(layer, program.values, x)
    )


@pytest.mark.parametrize(
    ("kernels", "function"), [("mve", "vad_pointwise_mve"), ("dsp", "vad_pointwise_dsp")]
)
def test_the_plain_kernel_is_taken_where_it_pays(kernels: str, function: str) -> None:
    sets = (kernels, "portable")
    few = grouped(12, 4)
    assert select(few.layers[0], few, sets).function == function
    assert make_plan(few, sets, flash_bytes=0).calls[0].function == "vad_group_conv2d"
    depthwise_like = grouped(16, 16, (5, 5))
    assert select(depthwise_like.layers[0], depthwise_like, sets).function == "vad_group_conv2d"
