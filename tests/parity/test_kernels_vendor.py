"""Kernels that call vendors' libraries, on this computer: the bytes of the reference and TFLM."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from cases import CaseBuilder
from graphs import random_graph
from many import check
from operators import KINDS, operator
from vendors import real_library, stand_in, vendor

from vadgen.build import compiler
from vadgen.kernels import select
from vadgen.lower import lower
from vadgen.model import Graph, Padding

SWEEP = len(KINDS)
FUNCTIONS = {
    "cmsis_nn": ("conv2d", "depthwise_conv2d", "add", "mul", "average_pool", "max_pool"),
    "esp_nn": ("conv2d", "depthwise_conv2d", "add", "mul"),
}


def windows(seed: int) -> Graph:
    """Rows that adjoin in memory, as their channels fill words, and padding that is uneven."""
    rng = np.random.default_rng(seed)
    channels = int(rng.choice([4, 16, 32, 48]))
    b = CaseBuilder(seed, (1, int(rng.integers(4, 12)), int(rng.integers(4, 15)), channels))
    size, stride = int(rng.integers(2, 6)), int(rng.integers(1, 4))
    padding: Padding = "VALID" if size <= 4 and rng.random() < 0.4 else "SAME"
    d = b.depthwise(b.input, (size, size), (stride, stride), padding, "RELU6")
    c = b.conv(d, int(rng.choice([3, 8, 33])), (3, 3), padding="SAME")
    e = b.conv(b.input, channels, (size, 3), padding="SAME")
    made = b.mul_other(b.add(b.input, e))
    return b.graph(c, made, b.pool(d, seed % 2 == 0, (2, 2), (2, 2), "SAME"))


def library(kernels: str, kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the library, or its stand-in, where builds look for it."""
    built = (
        real_library(kernels, "host")
        if kind == "real"
        else stand_in(kernels, folder / "library", flags=compiler.SANITIZED)
    )
    monkeypatch.setenv(vendor(kernels).variable, str(built))


@pytest.mark.parametrize("kind", ["stand-in", "real"])
@pytest.mark.parametrize("kernels", FUNCTIONS)
def test_windows(kernels: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library(kernels, kind, tmp_path, monkeypatch)
    graphs = [windows(seed) for seed in range(6)]
    sets = (kernels, "portable")
    used = Counter(
        select(layer, program, sets).function
        for program in map(lower, graphs)
        for layer in program.layers
    )
    assert all(used[f"vad_{kernels}_{name}"] >= 3 for name in FUNCTIONS[kernels]), used
    check(graphs, tmp_path, {"sanitized": (sets, compiler.SANITIZED)})


@pytest.mark.parametrize("kind", ["stand-in", "real"])
@pytest.mark.parametrize("kernels", FUNCTIONS)
@pytest.mark.parametrize(
    "first",
    [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(SWEEP, 60 * SWEEP, SWEEP))],
)
def test_drawn_operators(
    kernels: str, kind: str, first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library(kernels, kind, tmp_path, monkeypatch)
    graphs = [operator(seed) for seed in range(first, first + SWEEP)]
    graphs += [random_graph(first + seed) for seed in range(3)]
    check(graphs, tmp_path, {"sanitized": ((kernels, "portable"), compiler.SANITIZED)})
