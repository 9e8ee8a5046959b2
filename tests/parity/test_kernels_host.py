"""C on this computer, portable and vectorized, against the numpy reference and TFLite Micro."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cases import CaseBuilder
from graphs import random_graph
from many import HOST, PORTABLE, check, drawn_images, expected
from operators import KINDS, operator

from vadgen.build import compiler
from vadgen.build.emulator import run_host
from vadgen.build.host import HostModel, compile_host, compile_host_exe
from vadgen.emit.model import write_model
from vadgen.kernels import select
from vadgen.lower import Conv2d, lower
from vadgen.model import Activation, Graph, Padding
from vadgen.plan.planner import make_plan
from vadgen.quant.oracle import run_tflm
from vadgen.quant.tflite_reader import read_tflite
from vadgen.ref.program import run_program

BATCH = 25


@pytest.mark.parametrize("first", range(0, 200, BATCH))
def test_random_networks(first: int, tmp_path: Path) -> None:
    sets = {
        "portable": (PORTABLE, compiler.SANITIZED),
        "host": (HOST, compiler.FAST),
    }
    check([random_graph(seed) for seed in range(first, first + BATCH)], tmp_path, sets)


def near_the_limits(zero_point: int, sign: int, depthwise: bool) -> Graph:
    """Biases next to 2^31, scaled by 1 - 2^-30: the zero point makes the outputs wrap."""
    b = CaseBuilder(1, (1, 2, 3, 9), weight=0, ties=True)
    scale = 2.0**-13
    made = b.depthwise(b.input, scale=scale) if depthwise else b.conv(b.input, 9, scale=scale)
    for i, t in enumerate(b.tensors):
        if i == b.input:
            t = replace(t, scales=np.float32([(1 + 2.0**-15) * 2.0**-5]))
        elif t.name.startswith("w"):
            t = replace(t, scales=np.full_like(t.scales, (1 - 2.0**-15) * 2.0**-8))
        elif t.name.startswith("b"):
            data = np.full(9, sign * (2**31 - 1), np.int32)
            t = replace(t, scales=np.full_like(t.scales, scale), data=data)
        elif i == made:
            t = replace(t, zero_point=zero_point)
        b.tensors[i] = t
    return b.graph(made)


def test_outputs_that_leave_32_bits_wrap(tmp_path: Path) -> None:
    graphs = [
        near_the_limits(zero_point, sign, depthwise)
        for zero_point in (-128, 127)
        for sign in (-1, 1)
        for depthwise in (False, True)
    ]
    first = lower(graphs[-2]).layers[0]
    assert isinstance(first, Conv2d)
    assert (first.requant.multiplier == 2**31 - 2).all()
    assert (run_program(lower(graphs[-1]), drawn_images(lower(graphs[-1]))[0])[1] == -128).all()
    sets = {"portable": (PORTABLE, compiler.SANITIZED), "host": (HOST, compiler.SANITIZED)}
    check(graphs, tmp_path, sets)


SWEEP = 4 * len(KINDS)


@pytest.mark.parametrize(
    "first",
    [
        *range(0, 3 * SWEEP, SWEEP),
        *(pytest.param(n, marks=pytest.mark.slow) for n in range(3 * SWEEP, 50 * SWEEP, SWEEP)),
    ],
)
def test_drawn_operators(first: int, tmp_path: Path) -> None:
    """Every operator at drawn shapes, scales and zero points, also extreme ones."""
    sets = {"portable": (PORTABLE, compiler.SANITIZED), "host": (HOST, compiler.SANITIZED)}
    check([operator(seed) for seed in range(first, first + SWEEP)], tmp_path, sets)


@pytest.mark.parametrize("first", range(0, 40, 20))
def test_random_wide_layers(first: int, tmp_path: Path) -> None:
    """Shapes at and around the width of the vectors, which small networks seldom have."""
    sets = {"sanitized": (HOST, compiler.SANITIZED), "optimized": (HOST, compiler.FAST)}
    check([wide_layers(seed) for seed in range(first, first + 20)], tmp_path, sets)


def wide_layers(seed: int) -> Graph:
    """An inverted residual with a skip, of drawn sizes."""
    rng = np.random.default_rng(seed)
    channels = int(rng.choice([1, 3, 7, 8, 15, 16, 17, 24, 40, 63]))
    expanded = channels + int(rng.choice([0, 1, 8, 41, 120]))
    b = CaseBuilder(seed, (1, int(rng.integers(1, 12)), int(rng.integers(1, 18)), channels))
    padding: Padding = "SAME"
    activation: Activation = "RELU6" if rng.random() < 0.5 else "NONE"
    kernel = (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
    x = b.conv(b.input, expanded, activation=activation)
    x = b.depthwise(x, kernel, (1, 1), padding, activation)
    skip = b.add(b.input, b.conv(x, channels))
    stride = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    y = b.conv(skip, int(rng.integers(1, 50)), kernel, stride, padding)
    z = b.depthwise(skip, kernel[::-1], stride, padding)
    return b.graph(skip, y, z)


def test_what_the_host_kernels_take() -> None:
    """All convolutions, additions and depthwise convolutions but those of unusual shape."""
    b = CaseBuilder(0, (1, 9, 9, 4))
    x = b.conv(b.input, 5, (3, 3))
    x = b.depthwise(x)
    x = b.add(x, b.conv(x, 5))
    doubled = b.depthwise(x, multiplier=2)
    large = b.depthwise(x, (9, 7))
    program = lower(b.graph(doubled, large))
    functions = [select(layer, program, HOST).function for layer in program.layers]
    assert functions == [
        "vad_host_conv2d",
        "vad_host_depthwise_conv2d",
        "vad_host_conv2d",
        "vad_host_add",
        "vad_depthwise_conv2d",
        "vad_depthwise_conv2d",
    ]


@pytest.mark.parametrize("kernels", [PORTABLE, HOST])
def test_firmware_program_under_sanitizers(kernels: tuple[str, ...], tmp_path: Path) -> None:
    program = lower(graph := random_graph(7))
    images = drawn_images(program, 3)
    write_model(tmp_path, make_plan(program, kernels), "test")
    built = compile_host_exe(tmp_path, tmp_path / "firmware", kernels)
    shapes = [(v.rows, v.width, v.channels) for v in (program.values[o] for o in program.outputs)]
    answers = run_host(built, images, shapes)
    for i, output in enumerate(expected(graph, program, images)):
        np.testing.assert_array_equal(np.stack([a.outputs[i] for a in answers]), output)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mnv2_a035_96_b13x", "mnv2_a100_224_b6x"])
def test_converted_network(model: str, shared: Path, tmp_path: Path) -> None:
    data = (shared / "models" / f"{model}.tflite").read_bytes()
    program = lower(graph := read_tflite(data))
    images = drawn_images(program)
    write_model(tmp_path, make_plan(program, HOST), model)
    result = HostModel(compile_host(tmp_path, tmp_path / "m.so"), program).run(images)
    oracle = run_tflm(data, images)
    for i in range(len(graph.outputs)):
        np.testing.assert_array_equal(result.outputs[i], np.concatenate([r[i] for r in oracle]))
