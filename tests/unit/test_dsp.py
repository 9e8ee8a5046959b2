"""DSP kernels: numbers of channels that their loops do not divide."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CaseBuilder

from vadgen.kernels import select
from vadgen.kernels.base import Array
from vadgen.lower import lower

DSP = ("dsp", "portable")


@pytest.mark.parametrize(("channels", "function"), [(1, "vad_pointwise"), (5, "vad_pointwise_dsp")])
def test_convolutions_of_odd_channels(channels: int, function: str) -> None:
    b = CaseBuilder(1, (1, 4, 5, 8))
    program = lower(b.graph(b.conv(b.input, channels, activation="RELU6", scale=0.02)))
    assert select(program.layers[0], program, DSP).function == function


def test_an_odd_channel_comes_with_the_one_before_it() -> None:
    b = CaseBuilder(2, (1, 4, 5, 8))
    program = lower(b.graph(b.conv(b.input, 5, scale=0.1)))
    fields = dict(select(program.layers[0], program, DSP).fields)
    stream = fields["stream"]
    assert isinstance(stream, Array)
    assert stream.data.shape == (3, fields["pair"])
    # Multiplier and constant, of the second channel of a pair and of the first.
    np.testing.assert_array_equal(stream.data[1, 2:4], stream.data[2, :2])


@pytest.mark.parametrize(
    ("channels", "function"), [(3, "vad_depthwise_conv2d"), (6, "vad_depthwise_dsp_rows")]
)
def test_depthwise_convolutions_need_four_channels(channels: int, function: str) -> None:
    b = CaseBuilder(3, (1, 6, 7, channels))
    program = lower(b.graph(b.depthwise(b.input, stride=(2, 2), activation="RELU6", scale=0.02)))
    assert select(program.layers[0], program, DSP).function == function
