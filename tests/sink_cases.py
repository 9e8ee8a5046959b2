"""Detectors on a small network whose plans are cut in several ways: for parity tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from graphs import GraphBuilder
from numpy.typing import NDArray

from vadgen.build.emulator import Response
from vadgen.detectors import padim, padim_full, patchcore
from vadgen.detectors.patchcore import Options
from vadgen.emit.model import DetectorCode, write_model
from vadgen.lower import Program, lower
from vadgen.pipeline.cfa import fit_cfa
from vadgen.pipeline.compiler import reference_run
from vadgen.pipeline.detector import detector_of
from vadgen.plan import planner
from vadgen.plan.planner import Plan, make_plan
from vadgen.plan.schedule import Segment, Simulator
from vadgen.progress import SilentProgress
from vadgen.recipe import Recipe, StudentOptions

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


def network(detector: str) -> Program:
    """Taps at strides 2, 4 and 8, of odd sizes where the detector takes them."""
    height, width = (48, 40) if detector == "padim full" else (44, 36)
    b = GraphBuilder(5, (1, height, width, 3))
    x, taps = b.input, []
    for channels in (8, 12, 16):
        x = b.conv(x, channels, (3, 3), (2, 2), activation="RELU6")
        x = b.add(x, b.conv(b.depthwise(x, (3, 3), activation="RELU6"), channels))
        taps.append(x)
    return lower(b.graph(*taps))


PATCHES = {
    "adc": Options("adc", 60, n_subspaces=12, bits=4, halve=False, reweight=True),
    "adc rotated": Options("adc", 60, n_subspaces=12, bits=4, halve=True, rotate=True, block=10),
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
    if name == "cfa":
        recipe = Recipe("", detector="cfa", student=StudentOptions(epochs=1))
        return fit_cfa(recipe, values, lambda: iter([taps]), 1 << 20, roi, SilentProgress())
    return patchcore.fit(lambda: iter([taps]), values, PATCHES[name], 0, roi)


def planned(
    program: Program,
    kernels: tuple[str, ...],
    tables: Any,
    cut: str,
    apart: bool,
    monkeypatch: Any,
) -> Plan:
    """The plan with the cuts named."""
    monkeypatch.setattr(planner, "_cut", CUTS[cut])
    return make_plan(program, kernels, tables.sink, apart=apart)


def written(folder: Path, plan: Plan, tables: Any) -> Path:
    """The generated C."""
    detector = detector_of(tables)
    code = DetectorCode(detector.name, detector.code, *detector.cell_shape, 1000, "", "")
    write_model(folder, plan, "a test", detector=code)
    return folder


def images_for(program: Program) -> NDArray[np.int8]:
    """Three random inputs."""
    first = program.values[0]
    shape = 3, first.rows, first.width, first.channels
    return np.random.default_rng(8).integers(-128, 128, shape).astype(np.int8)


def assert_answers(program: Program, tables: Any, answers: list[Response]) -> None:
    """Scores, cells and taps are the reference's."""
    expected = reference_run(program, images_for(program))
    cells, scores = tables.score(expected.outputs)
    assert [answer.score for answer in answers] == scores.tolist()
    for i, answer in enumerate(answers):
        np.testing.assert_array_equal(answer.cells.reshape(cells[i].shape), cells[i])
        for got, output in zip(answer.outputs, expected.outputs, strict=True):
            np.testing.assert_array_equal(got, output[i])
