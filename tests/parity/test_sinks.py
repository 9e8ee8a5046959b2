"""Detectors in the schedule: whatever order the taps' rows come in, the answer is the reference's.

Compiled with AddressSanitizer and UndefinedBehaviorSanitizer, as the firmware's program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import GraphBuilder

from vadgen.build.emulator import run_host
from vadgen.build.host import compile_host_exe
from vadgen.detectors import padim, padim_full, patchcore
from vadgen.detectors.patchcore import Options
from vadgen.emit.model import DetectorCode, write_model
from vadgen.lower import Program, lower
from vadgen.pipeline.compiler import reference_run
from vadgen.pipeline.detector import detector_of
from vadgen.plan import planner
from vadgen.plan.planner import Plan, make_plan
from vadgen.plan.schedule import Segment, Simulator

PORTABLE = ("portable",)
Cut = Callable[[Program, Simulator, Any, Any], tuple[Segment, ...]]


def layer_by_layer(program: Program, simulator: Simulator, *_: Any) -> tuple[Segment, ...]:
    """Every tap is whole before the next begins."""
    return tuple(simulator.run(i, i) for i in range(len(simulator.nodes)))


def in_one(program: Program, simulator: Simulator, *_: Any) -> tuple[Segment, ...]:
    """All in one segment: no tap is ever whole."""
    return (simulator.run(0, len(simulator.nodes) - 1),)


CUTS: dict[str, Cut] = {
    "layer by layer": layer_by_layer,
    "streamed": in_one,
    "chosen": planner._cut,
}


def network(height: int, width: int) -> Program:
    """Taps at strides 2, 4 and 8."""
    b = GraphBuilder(5, (1, height, width, 3))
    x, taps = b.input, []
    for channels in (8, 12, 16):
        x = b.conv(x, channels, (3, 3), (2, 2), activation="RELU6")
        x = b.add(x, b.conv(b.depthwise(x, (3, 3), activation="RELU6"), channels))
        taps.append(x)
    return lower(b.graph(*taps))


PATCHES = {
    "adc": Options("adc", 60, n_subspaces=12, bits=4, halve=False, reweight=True),
    "adc rotated": Options("adc", 60, n_subspaces=12, bits=4, halve=True, rotate=True),
    "pqnn": Options("pqnn", 60, 9, n_subspaces=12, bits=4, halve=True, reweight=True),
    "flat": Options("flat", 70, bits=8, halve=False),
}


def fitted(name: str, program: Program, roi: np.ndarray | None) -> Any:
    """The detector's tables, of random pictures."""
    values = [program.values[i] for i in program.outputs]
    rng = np.random.default_rng(3)
    first = program.values[0]
    images = rng.integers(-128, 128, (6, first.rows, first.width, 3)).astype(np.int8)
    taps = reference_run(program, images).outputs
    if name == "padim":
        return padim.fit(lambda: iter([taps]), values, None, 1 << 20, 0, roi)
    if name == "padim full":
        return padim_full.fit(lambda: iter([taps]), values, 16, 1 << 20, roi)
    return patchcore.fit(lambda: iter([taps]), values, PATCHES[name], 0, roi)


def planned(program: Program, tables: Any, cut: str, apart: bool, monkeypatch: Any) -> Plan:
    monkeypatch.setattr(planner, "_cut", CUTS[cut])
    return make_plan(program, PORTABLE, tables.sink, apart=apart)


CASES = [
    pytest.param(name, region, cut, marks=() if region == (i % 2 == 0) else pytest.mark.slow)
    for i, name in enumerate(("padim full", *PATCHES, "padim"))
    for region in (False, True)
    for cut in CUTS
]


@pytest.mark.parametrize(("name", "region", "cut"), CASES)
def test_the_order_of_the_taps_rows_does_not_matter(
    name: str, region: bool, cut: str, tmp_path: Path, monkeypatch: Any
) -> None:
    program = network(*((48, 40) if name == "padim full" else (44, 36)))
    rng = np.random.default_rng(8)
    roi = rng.random((9, 9)) < 0.2 if region else None
    tables = fitted(name, program, roi)
    plan = planned(program, tables, cut, region, monkeypatch)
    for value in plan.detector_values:
        is_short = plan.rings[value].ring < plan.rings[value].rows
        assert is_short if cut == "streamed" else cut != "layer by layer" or not is_short
    detector = detector_of(tables)
    code = DetectorCode(detector.name, detector.code, *detector.cell_shape, 1000, "", "")
    write_model(tmp_path, plan, "a test", detector=code)
    exe = compile_host_exe(tmp_path, tmp_path / "model", PORTABLE)
    first = program.values[0]
    images = rng.integers(-128, 128, (3, first.rows, first.width, 3)).astype(np.int8)
    expected = reference_run(program, images)
    cells, scores = tables.score(expected.outputs)
    answers = run_host(exe, images, program.output_shapes)
    assert [answer.score for answer in answers] == scores.tolist()
    for i, answer in enumerate(answers):
        np.testing.assert_array_equal(answer.cells.reshape(cells[i].shape), cells[i])
        for got, output in zip(answer.outputs, expected.outputs, strict=True):
            np.testing.assert_array_equal(got, output[i])


@pytest.mark.parametrize("name", ["padim full", *PATCHES])
def test_rings_of_a_detector_that_are_a_row_short_are_found_out(
    name: str, monkeypatch: Any
) -> None:
    program = network(48, 40)
    plan = planned(program, fitted(name, program, None), "streamed", False, monkeypatch)
    (segment,) = plan.segments
    waiting = [v for v in plan.detector_values if segment.rings[v] > 1]
    assert waiting
    for value in waiting:
        less = replace(segment, rings={**segment.rings, value: segment.rings[value] - 1})
        with pytest.raises(AssertionError):
            planner.check_schedule(plan.program, plan.nodes, (less,))
