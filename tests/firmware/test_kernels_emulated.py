"""Every kernel set on the cores that it is for: the same bytes as the numpy reference."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from cases import KERNELS, CaseBuilder, digest, load
from emulated import compare, run_plans
from firmware_model import BOARDS, emulated, usable
from graphs import random_graph
from operators import KINDS, operator

from vadgen import paths
from vadgen.lower import lower
from vadgen.model import Activation, Graph, Padding
from vadgen.plan.planner import make_plan

RELU6_SCALE = 0.02
"""Below 6 / 255, so that RELU6 ends where int8 does."""
CASES = [case for kernel in KERNELS for case in load(kernel)]


def chain(seed: int) -> Graph:
    """A stem and inverted residuals without taps, so that every layout between them occurs.

    Every third one draws shifts, zero points, biases and channels beyond what the fast kernels
    take.
    """
    rng = np.random.default_rng(seed)
    wild = seed % 3 == 0
    b = CaseBuilder(
        seed,
        (1, int(rng.integers(3, 22)), int(rng.integers(3, 22)), int(rng.choice([3, 3, 4, 8]))),
        zero_point=int(rng.choice([-128, -3, 127])),
        shift=int(rng.integers(-24, 3)) if wild else None,
        spread=int(rng.integers(0, 5)),
        bias=int(rng.choice([0, 20000, 2**29 - 1])) if wild else 20000,
        ties=bool(rng.random() < 0.2),
    )
    x = b.input
    if rng.random() < 0.7:
        stem = int(rng.choice([1, 10, 15] if wild else [8, 16]))
        x = b.conv(x, stem, (3, 3), (2, 2), activation="RELU6", scale=b.scale or RELU6_SCALE)
    for _ in range(int(rng.integers(1, 4))):
        x = _inverted_residual(b, rng, x, wild)
    return b.graph(x)


def _inverted_residual(b: CaseBuilder, rng: np.random.Generator, x: int, wild: bool) -> int:
    _, height, width, channels = b.shape(x)
    expanded = int(rng.choice([3, 12, 20, 33] if wild else [4, 8, 20, 24, 32, 44]))
    size, stride = int(rng.choice([3, 5, 7])), int(rng.integers(1, 3))
    padding: Padding = "VALID" if size <= min(height, width) and rng.random() < 0.3 else "SAME"
    before: Activation = "NONE" if rng.random() < 0.1 else "RELU6"
    after: Activation = "NONE" if rng.random() < 0.2 else "RELU6"
    scale = b.scale or RELU6_SCALE
    e = b.conv(x, expanded, activation=before, scale=scale)
    d = b.depthwise(e, (size, size), (stride, stride), padding, after, scale=scale)
    projected = int(rng.choice([channels, 7, 10] if wild else [channels, 8, 16, 24, 28, 32, 36]))
    p = b.conv(d, projected, scale=b.scale or 0.05)
    return b.add(x, p) if b.shape(p) == b.shape(x) else p


def block(seed: int) -> Graph:
    """One inverted residual and a convolution with RELU6, for seeds 0 to 47 through all loops."""
    channels = (8, 16, 24, 28, 32, 36)[seed % 6]
    size, stride, after = (3, 5)[seed // 6 % 2], seed // 12 % 2 + 1, ("RELU6", "NONE")[seed // 24]
    b = CaseBuilder(seed, (1, 5 + seed % 7, 4 + seed % 9, channels), spread=3)
    e = b.conv(b.input, 12, activation="RELU6", scale=RELU6_SCALE)
    d = b.depthwise(e, (size, size), (stride, stride), "SAME", after, scale=RELU6_SCALE)
    p = b.conv(d, channels, scale=0.05)
    return b.graph(b.conv(p, 6, activation="RELU6", scale=RELU6_SCALE))


def check(board_id: str, graphs: Sequence[Graph], folder: Path, **limits: int | None) -> None:
    compare(usable(board_id), graphs, folder, **limits)


@pytest.mark.parametrize("name", emulated("qemu_m55"))
def test_vectors(name: str, tmp_path: Path) -> None:
    board = usable(name)
    plans = [make_plan(lower(case.graph()), board.kernels) for case in CASES]
    results = run_plans(plans, [case.images() for case in CASES], board, tmp_path)
    wrong = [
        f"{case.kernel}: {case.name}"
        for case, outputs in zip(CASES, results, strict=True)
        if digest(outputs[0]) != case.sha256
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", emulated("qemu_m55"))
def test_networks(name: str, tmp_path: Path) -> None:
    check(name, [f(seed) for seed in range(24) for f in (block, chain, random_graph)], tmp_path)


@pytest.mark.parametrize("name", BOARDS)
def test_an_operator_of_each_kind(name: str, tmp_path: Path) -> None:
    """On every board others."""
    first = len(KINDS) * BOARDS.index(name)
    check(name, [operator(seed) for seed in range(first, first + len(KINDS))], tmp_path)


@pytest.mark.parametrize("name", ["qemu_m4", "qemu_m55"])
def test_networks_without_spare_memory(name: str, tmp_path: Path) -> None:
    graphs = [f(seed) for seed in range(24, 48) for f in (block, chain)]
    check(name, graphs, tmp_path, ram_bytes=0)


@pytest.mark.parametrize("ram_bytes", [None, 0])
def test_networks_without_spare_flash(ram_bytes: int | None, tmp_path: Path) -> None:
    graphs = [block(seed) for seed in range(24, 48)]
    check("qemu_m4", graphs, tmp_path, ram_bytes=ram_bytes, flash_bytes=0)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 400, 50))
def test_more_networks(first: int, tmp_path: Path) -> None:
    graphs = [f(seed) for seed in range(first, first + 50) for f in (chain, random_graph)]
    check(BOARDS[first // 50 % len(BOARDS)], graphs, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 16 * len(KINDS), 8 * len(KINDS)))
@pytest.mark.parametrize("name", BOARDS)
def test_operators(name: str, first: int, tmp_path: Path) -> None:
    check(name, [operator(1000 + seed) for seed in range(first, first + 8 * len(KINDS))], tmp_path)


LOOPS = {
    "dsp": (24, r"vad_dsp_(?:dots|depthwise)_\w+_(?:planes|rows|short|signed)"),
    "mve": (20, r"vad_mve_(?:dots|depthwise)_\w*(?:relu|signed|8|16|24|32)\b"),
}


@pytest.mark.parametrize("name", LOOPS)
def test_networks_reach_every_loop(name: str) -> None:
    used: set[str] = set()
    for seed in range(48):
        ram = None if seed < 24 else 0
        for graph in (block(seed), chain(seed)):
            for call in make_plan(lower(graph), (name, "portable"), ram_bytes=ram).calls:
                used |= {v for _, v in call.fields if isinstance(v, str)}
    include = paths.firmware() / "lib" / "vad_kernels" / "include"
    text = "".join(h.read_text() for h in sorted(include.glob(f"*_{name}.h")))
    count, pattern = LOOPS[name]
    loops = set(re.findall(pattern, text))
    assert len(loops) == count, loops
    assert loops <= used, loops - used
