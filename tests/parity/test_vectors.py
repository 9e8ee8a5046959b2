"""Every kernel's vectors: stored digest == numpy reference == TFLite Micro == C of each set."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from cases import KERNELS, CaseBuilder, digest, load
from many import run_models

from vadgen.build import compiler
from vadgen.lower import Program, lower
from vadgen.quant.oracle import run_tflm
from vadgen.quant.tflite_writer import write_tflite
from vadgen.ref.program import run_program

SETS = {
    "portable, sanitized": (("portable",), compiler.SANITIZED),
    "host, sanitized": (("host", "portable"), compiler.SANITIZED),
    "host, optimized": (("host", "portable"), compiler.FAST),
}
CASES = [(kernel, case) for kernel in KERNELS for case in load(kernel)]


@cache
def programs() -> list[Program]:
    return [lower(case.graph()) for _, case in CASES]


@pytest.mark.parametrize("kernel", KERNELS)
def test_reference(kernel: str) -> None:
    for case in load(kernel):
        program = lower(case.graph())
        made = np.stack([run_program(program, x)[program.outputs[0]] for x in case.images()])
        assert digest(made) == case.sha256, case.name


@pytest.mark.parametrize("kernel", KERNELS)
def test_oracle(kernel: str) -> None:
    for case in load(kernel):
        results = run_tflm(write_tflite(case.graph()), case.images())
        assert digest(np.stack([outputs[0] for outputs in results])) == case.sha256, case.name


@pytest.mark.parametrize("name", SETS)
def test_c(name: str, tmp_path: Path) -> None:
    kernels, flags = SETS[name]
    images = [case.images() for _, case in CASES]
    results = run_models(programs(), images, kernels, flags, tmp_path)
    wrong = [
        f"{kernel}: {case.name}"
        for (kernel, case), outputs in zip(CASES, results, strict=True)
        if digest(outputs[0]) != case.sha256
    ]
    assert not wrong, "\n".join(wrong)


def test_names_and_seeds_are_distinct() -> None:
    for kernel in KERNELS:
        cases = load(kernel)
        assert len({c.name for c in cases}) == len({c.seed for c in cases}) == len(cases) >= 3


@pytest.mark.parametrize("kind", ["HARD_SWISH", "LOGISTIC"])
def test_tables_of_drawn_scales(kind: str) -> None:
    """All 256 values, input and output scales over five decades."""
    rng = np.random.default_rng(14)
    x = np.arange(-128, 128, dtype=np.int8).reshape(1, 16, 16, 1)
    for seed in range(40):
        b = CaseBuilder(seed, (1, 16, 16, 1))
        scale = float(10 ** rng.uniform(-4, 0.7))
        b.tensors[b.input] = replace(b.tensors[b.input], scales=np.float32([scale]))
        graph = b.graph(b.lut(kind, b.input))
        made = run_program(lower(graph), x)[1]
        oracle = run_tflm(write_tflite(graph), x)[0][0]
        np.testing.assert_array_equal(made.reshape(-1), oracle.reshape(-1), f"scale {scale}")
