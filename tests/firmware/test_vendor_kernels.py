"""Firmware that calls a vendor's library, on the emulated core: linked, and the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from emulated import compare
from firmware_model import usable
from graphs import random_graph
from operators import KINDS, operator
from vendors import real_library, stand_in, vendor

from vadgen.board import Board, with_kernels


def check(board: Board, seeds: range, folder: Path) -> None:
    graphs = [operator(seed) for seed in seeds] + [random_graph(seed) for seed in range(5)]
    compare(board, graphs, folder)


def test_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = usable("qemu_m7")
    assert board.toolchain is not None
    compiler = f"{board.toolchain.prefix}gcc"
    folder = stand_in("cmsis_nn", tmp_path / "a library", compiler, ("-O2", *board.toolchain.flags))
    monkeypatch.setenv(vendor("cmsis_nn").variable, str(folder))
    check(with_kernels(board, "cmsis_nn,dsp"), range(len(KINDS)), tmp_path)


@pytest.mark.parametrize("first", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
@pytest.mark.parametrize(
    ("name", "kernels"),
    [
        ("qemu_m3", "cmsis_nn"),
        ("qemu_m7", "cmsis_nn"),
        ("qemu_m55", "cmsis_nn"),
        ("qemu_rv32", "esp_nn"),
    ],
)
def test_real_library(
    name: str, kernels: str, first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(vendor(kernels).variable, str(real_library(kernels, name)))
    count = 4 * len(KINDS)
    seeds = range(first * count, (first + 1) * count)
    check(with_kernels(usable(name), kernels), seeds, tmp_path)
