"""Quantization: the int8 graph, run by TFLite Micro, stays close to the float network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vadgen.backbones import load_backbone
from vadgen.backbones.network import (
    IMAGE,
    Conv,
    DepthwiseConv,
    Head,
    Network,
    Pads,
    forward,
    with_heads,
)
from vadgen.errors import VadgenError
from vadgen.model import Graph
from vadgen.quant.check import check_graph
from vadgen.quant.oracle import run_tflm
from vadgen.quant.quantize import (
    Ranges,
    affine,
    calibrate,
    input_quantization,
    quantize,
)
from vadgen.quant.tflite_writer import write_tflite

TINY = load_backbone("tiny")


def images(n: int = 4, size: int = 32, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth coloured noise, so that a network has something to see."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (n, size // 8, size // 8, 3)).repeat(8, axis=1).repeat(8, axis=2)
    noisy: NDArray[np.uint8] = np.clip(coarse + rng.normal(0, 15, coarse.shape), 0, 255).astype(
        np.uint8
    )
    return noisy


def to_input(network: Network, pictures: NDArray[np.uint8]) -> NDArray[np.int8]:
    """The int8 input tensor of pictures, as the firmware makes it."""
    table = input_quantization(network).table
    return np.stack([table[c][pictures[..., c]] for c in range(3)], axis=-1)


def int8_taps(
    network: Network, graph: Graph, pictures: NDArray[np.uint8]
) -> list[NDArray[np.float64]]:
    """The taps of the graph as TFLite Micro computes them, dequantized."""
    outputs = run_tflm(write_tflite(graph), to_input(network, pictures))
    return [
        (np.concatenate([o[k] for o in outputs]).astype(np.float64) - graph.tensors[t].zero_point)
        * graph.tensors[t].scale
        for k, t in enumerate(graph.outputs)
    ]


def decibels(expected: Sequence[NDArray[np.float32]], got: Sequence[NDArray[np.float64]]) -> float:
    """Signal over error of the worst tap."""
    return min(
        10 * float(np.log10((e.astype(np.float64) ** 2).sum() / ((e - g) ** 2).sum()))
        for e, g in zip(expected, got, strict=True)
    )


def test_int8_taps_are_close_to_the_float_taps() -> None:
    pictures = images(6)
    graph = quantize(TINY, calibrate(TINY, [pictures]))
    assert decibels(forward(TINY, pictures), int8_taps(TINY, graph, pictures)) > 28
    assert [graph.tensors[t].shape for t in graph.outputs] == [(1, 8, 8, 8), (1, 4, 4, 16)]
    kinds = [op.kind for op in graph.ops]
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD"} == set(kinds)


@pytest.mark.parametrize("size", [32, 33])
def test_even_padding_becomes_a_pad_where_same_would_shift(size: int) -> None:
    """PyTorch's padding of 1 at stride 2 on an even size; on an odd size SAME does the same."""
    ones = Pads(1, 1, 1, 1)
    nodes = tuple(
        replace(node, padding=ones)
        if isinstance(node, Conv | DepthwiseConv) and node.weights.shape[1] == 3
        else node
        for node in TINY.nodes
    )
    network = replace(TINY, nodes=nodes)
    pictures = images(4, 40)[:, :size, :size]
    graph = quantize(network, calibrate(network, [pictures]))
    check_graph(graph)
    assert decibels(forward(network, pictures), int8_taps(network, graph, pictures)) > 28
    pads = [op for op in graph.ops if op.kind == "PAD"]
    # 32 -> 16 -> 8 -> 4 needs all three; 33 -> 17 -> 9 -> 5 none.
    assert len(pads) == (3 if size == 32 else 0)
    for op in pads:
        amounts = graph.tensors[op.inputs[1]].data
        assert amounts is not None
        np.testing.assert_array_equal(amounts, [[0, 0], [1, 0], [1, 0], [0, 0]])


def test_no_padding_at_all() -> None:
    stem = TINY.nodes[0]
    assert isinstance(stem, Conv)
    network = replace(TINY, nodes=(replace(stem, padding=Pads(0, 0, 0, 0)),), taps=(0,))
    pictures = images()
    graph = quantize(network, calibrate(network, [pictures]))
    assert [op.kind for op in graph.ops] == ["CONV_2D"]
    assert graph.tensors[graph.outputs[0]].shape == (1, 15, 15, 8)
    assert decibels(forward(network, pictures), int8_taps(network, graph, pictures)) > 28


def test_heads_become_operators() -> None:
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(8, 3)).astype(np.float32)
    network = with_heads(
        TINY, [Head(0, pool=2, matrix=matrix, bias=np.ones(3, np.float32)), Head(1, pool=2)]
    )
    pictures = images(6)
    graph = quantize(network, calibrate(network, [pictures]))
    assert [graph.tensors[t].shape for t in graph.outputs] == [(1, 4, 4, 3), (1, 2, 2, 16)]
    assert [op.kind for op in graph.ops].count("AVERAGE_POOL_2D") == 2
    assert decibels(forward(network, pictures), int8_taps(network, graph, pictures)) > 25


def test_weights_and_activations_keep_to_the_specification() -> None:
    graph = quantize(TINY, calibrate(TINY, [images()]))
    for op in graph.ops:
        output = graph.tensors[op.outputs[0]]
        if op.kind == "ADD":
            continue
        source, weights, bias = (graph.tensors[i] for i in op.inputs)
        assert weights.data is not None and bias.data is not None
        assert weights.data.min() >= -127
        axes = tuple(a for a in range(4) if a != weights.axis)
        assert (np.abs(weights.data.astype(int)).max(axis=axes) == 127).all()
        assert weights.zero_point == bias.zero_point == 0
        np.testing.assert_allclose(bias.scales, source.scale * weights.scales, rtol=1e-6)
        if getattr(op.options, "activation", "NONE") == "RELU6":
            assert output.zero_point == -128
            assert output.scale <= np.float32(6 / 255)


def test_alike_channels_make_the_input_the_byte_minus_128() -> None:
    lite = input_quantization(TINY)
    assert (lite.scale, lite.zero_point, lite.residual) == (1 / 128, -1, 0.0)
    np.testing.assert_array_equal(lite.table, np.tile(np.arange(-128, 128), (3, 1)))
    keras = replace(
        TINY, scale=np.full(3, 1 / 127.5, np.float32), offset=np.full(3, -1, np.float32)
    )
    chosen = input_quantization(keras)
    real = keras.scale[0] * np.arange(256) + keras.offset[0]
    got = chosen.scale * (chosen.table[0].astype(float) - chosen.zero_point) + chosen.residual
    np.testing.assert_allclose(got, real, atol=1e-6)
    assert abs(chosen.residual) <= chosen.scale / 2 + 1e-9


def test_unlike_channels_share_one_scale() -> None:
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    network = replace(
        TINY,
        scale=(1 / (255 * deviation)).astype(np.float32),
        offset=(-mean / deviation).astype(np.float32),
    )
    chosen = input_quantization(network)
    real = network.scale[:, None] * np.arange(256) + network.offset[:, None]
    got = chosen.scale * (chosen.table.astype(float) - chosen.zero_point)
    assert np.abs(got - real).max() <= chosen.scale / 2 * 1.01
    assert (np.diff(chosen.table.astype(int), axis=1) >= 0).all()
    pictures = images(6)
    graph = quantize(network, calibrate(network, [pictures]))
    assert decibels(forward(network, pictures), int8_taps(network, graph, pictures)) > 25


def test_the_residual_of_the_input_goes_into_the_first_bias() -> None:
    """A zero point of -0.5 does not exist; the picture's inside must not notice."""
    keras = replace(
        TINY, scale=np.full(3, 1 / 127.5, np.float32), offset=np.full(3, -1, np.float32)
    )
    weights = np.ones((1, 1, 1, 3), np.float32)
    node = Conv("sum", IMAGE, weights, np.zeros(1, np.float32))
    network = replace(keras, nodes=(node,), taps=(0,))
    pictures = images(6)
    graph = quantize(network, calibrate(network, [pictures]))
    error = int8_taps(network, graph, pictures)[0] - forward(network, pictures)[0]
    step = graph.tensors[graph.outputs[0]].scale
    assert abs(error.mean()) < 0.02 * step


def test_corrected_biases_keep_the_mean_of_a_filter_whose_sum_is_small() -> None:
    """A high-pass filter on a bright picture: its rounding error alone moves the mean."""
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(3, 3, 3)).astype(np.float32)
    weights -= weights.mean(axis=(0, 1))
    node = DepthwiseConv("high pass", IMAGE, weights, np.zeros(3, np.float32))
    network = replace(TINY, offset=np.full(3, 6, np.float32), nodes=(node,), taps=(0,))
    pictures = images(8)
    inside = (slice(None), slice(1, -1), slice(1, -1))
    ranges = calibrate(network, [pictures])
    bias = []
    for measured in (ranges, replace(ranges, means=())):
        got = int8_taps(network, quantize(network, measured), pictures)[0]
        error = got[inside] - forward(network, pictures)[0][inside]
        bias.append(np.abs(error.mean(axis=(0, 1, 2))).max())
    assert bias[0] < bias[1] / 4


def test_the_same_images_give_the_same_bytes_however_they_come() -> None:
    pictures = images(8)
    ways = [[pictures], [pictures[:3], pictures[3:]], list(pictures[:, np.newaxis])]
    before = torch.get_num_threads()
    files = set()
    try:
        for n_threads, batches in enumerate(ways, 1):
            torch.set_num_threads(n_threads)
            files.add(write_tflite(quantize(TINY, calibrate(TINY, batches))))
    finally:
        torch.set_num_threads(before)
    assert len(files) == 1


def test_channels_that_are_all_zero_and_huge_biases() -> None:
    weights = np.zeros((2, 1, 1, 3), np.float32)
    weights[1] = 1e-9
    node = Conv("odd", IMAGE, weights, np.array([0.5, 30.0], np.float32))
    network = replace(TINY, nodes=(node,), taps=(0,))
    pictures = images()
    graph = quantize(network, calibrate(network, [pictures]))
    bias = graph.tensors[graph.ops[0].inputs[2]].data
    assert bias is not None and np.abs(bias).max() <= 2**29
    got = int8_taps(network, graph, pictures)[0]
    np.testing.assert_allclose(got, np.broadcast_to([0.5, 30.0], got.shape), atol=0.1)


def test_affine_holds_zero_exactly() -> None:
    for low, high in ((0.0, 6.0), (-1.0, 2.0), (0.5, 2.0), (-3.0, -1.0), (0.0, 0.0), (-1e-3, 50.0)):
        scale, zero_point = affine(low, high)
        assert -128 <= zero_point <= 127 and scale > 0
        assert scale * (127 - zero_point) >= max(high, 0) - scale / 2 - 1e-6
        assert scale * (-128 - zero_point) <= min(low, 0) + scale / 2 + 1e-6
    assert affine(0.0, 6.0) == (float(np.float32(6 / 255)), -128)


def test_no_images_to_calibrate_on() -> None:
    with pytest.raises(VadgenError, match="no images"):
        calibrate(TINY, [])
    with pytest.raises(VadgenError, match="no images"):
        calibrate(TINY, [images()[:0]])


def test_ranges_alone_are_enough_for_the_shapes() -> None:
    ones = np.ones(len(TINY.nodes))
    graph = quantize(TINY, Ranges(96, 64, -ones, ones))
    assert [graph.tensors[t].shape for t in graph.outputs] == [(1, 24, 16, 8), (1, 12, 8, 16)]


@pytest.mark.slow
def test_lite0_keeps_its_features() -> None:
    """Measured on transistors at 128: 24 dB; noise is harder."""
    network = load_backbone("efficientnet_lite0")
    pictures = images(8, 96)
    graph = quantize(network, calibrate(network, [pictures]))
    assert decibels(forward(network, pictures[:3]), int8_taps(network, graph, pictures[:3])) > 18
