"""Every kernel's vectors: stored digest == numpy reference == TFLite Micro == C of each set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from cases import KERNELS, CaseBuilder, digest, load
from graphs import GraphBuilder
from many import run_models

from vadgen.build import compiler
from vadgen.errors import VadgenError
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


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [("LOGISTIC", 2.0**-28, 1.5 * 2.0**34), ("HARD_SWISH", 1.5 * 2.0**-23, 2.0**24)],
)
def test_scales_are_taken_or_refused(kind: str, least: float, most: float) -> None:
    """Beyond these TFLite Micro shifts by more than the word has bits."""
    for scale in (least, most):
        check_scale(scale, lambda b: b.lut(kind, b.input))
    for scale in (least / 2, 2 * most):
        with pytest.raises(VadgenError, match="beyond what TFLite Micro takes"):
            check_scale(scale, lambda b: b.lut(kind, b.input))


def test_softmax_of_scales_at_which_the_interpreter_aborts() -> None:
    check_scale(1.5 * 2.0**-26, lambda b: b.softmax(b.reshape(b.input, (1, 256))))
    for scale in (2.0**-26, 2.0**-27):
        with pytest.raises(VadgenError, match="input scale is too small"):
            check_scale(scale, lambda b: b.softmax(b.reshape(b.input, (1, 256))))


def check_scale(scale: float, make: Callable[[GraphBuilder], int]) -> None:
    """The reference and the interpreter on every int8 value."""
    b = GraphBuilder(1, (1, 16, 16, 1), zero_point=3)
    b.tensors[b.input] = replace(b.tensors[b.input], scales=np.float32([scale]))
    graph = b.graph(make(b))
    program = lower(graph)
    x = np.arange(-128, 128, dtype=np.int8).reshape(1, 16, 16, 1)
    got = run_program(program, x[0])[program.outputs[0]]
    theirs = run_tflm(write_tflite(graph), x)[0][0]
    np.testing.assert_array_equal(got.reshape(-1), theirs.reshape(-1))
