"""Detectors in the schedule: whatever order the taps' rows come in, the answer is the reference's.

Compiled with AddressSanitizer and UndefinedBehaviorSanitizer, as the firmware's program.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sink_cases import CUTS, PATCHES, assert_answers, fitted, images_for, network, planned, written

from vadgen.build.emulator import run_host
from vadgen.build.host import compile_host_exe
from vadgen.plan import planner

PORTABLE = ("portable",)
CASES = [
    pytest.param(name, region, cut, marks=() if region == (i % 2 == 0) else pytest.mark.slow)
    for i, name in enumerate(("padim full", *PATCHES, "padim", "cfa"))
    for region in (False, True)
    for cut in CUTS
]


@pytest.mark.parametrize(("name", "region", "cut"), CASES)
def test_the_order_of_the_taps_rows_does_not_matter(
    name: str, region: bool, cut: str, tmp_path: Path, monkeypatch: Any
) -> None:
    program = network(name)
    roi = np.random.default_rng(8).random((9, 9)) < 0.2 if region else None
    tables = fitted(name, program, roi)
    plan = planned(program, PORTABLE, tables, cut, region, monkeypatch)
    for value in plan.detector_values:
        is_short = plan.rings[value].ring < plan.rings[value].rows
        assert is_short if cut == "streamed" else cut != "layer by layer" or not is_short
    folder = written(tmp_path, plan, tables)
    exe = compile_host_exe(folder, tmp_path / "model", PORTABLE)
    assert_answers(program, tables, run_host(exe, images_for(program), program.output_shapes))


@pytest.mark.parametrize("name", ["padim full", "cfa", *PATCHES])
def test_rings_of_a_detector_that_are_a_row_short_are_found_out(
    name: str, monkeypatch: Any
) -> None:
    program = network(name)
    tables = fitted(name, program, None)
    plan = planned(program, PORTABLE, tables, "streamed", False, monkeypatch)
    (segment,) = plan.segments
    waiting = [v for v in plan.detector_values if segment.rings[v] > 1]
    assert waiting
    for value in waiting:
        less = replace(segment, rings={**segment.rings, value: segment.rings[value] - 1})
        with pytest.raises(AssertionError):
            planner.check_schedule(plan.program, plan.nodes, (less,))
