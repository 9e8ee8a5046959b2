"""Every kernel set on the cores that it is for: the same bytes as the numpy reference.

One model a board holds many shapes, with every layer an output.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graphs import GraphBuilder, random_graph

from vadgen.board import list_boards, load_board
from vadgen.build.emulator import run
from vadgen.build.platformio import build_project, create_project
from vadgen.build.tools import missing_tools
from vadgen.emit.model import write_model
from vadgen.lower import lower
from vadgen.model import Graph
from vadgen.plan.planner import make_plan
from vadgen.ref.program import run_program

EMULATED = [b for b in list_boards() if load_board(b).emulator is not None]
DSP = [b for b in EMULATED if "dsp" in load_board(b).kernels]


def _dsp_shapes(seed: int) -> Graph:
    """What the DSP kernels take and what they must leave: odd sizes, strides, 5x5, odd channels."""
    b = GraphBuilder(seed, (1, 21, 19, 3))
    stem = b.conv(b.input, 16, (3, 3), (2, 2), activation="RELU6")
    dw = b.depthwise(stem, activation="RELU6")
    p8 = b.conv(dw, 8)
    e24 = b.conv(p8, 24, activation="RELU6")
    d5 = b.depthwise(e24, (5, 5), (1, 1), activation="RELU6")
    p8b = b.conv(d5, 8)
    add = b.add(p8, p8b)
    e12 = b.conv(add, 12)
    s2 = b.depthwise(e12, (3, 3), (2, 2))
    s2b = b.depthwise(s2, (5, 5), (2, 2), padding="SAME")
    valid = b.depthwise(e12, (3, 3), (2, 1), padding="VALID")
    odd = b.conv(valid, 7, (2, 3), (1, 2), padding="VALID")
    back = b.conv(odd, 4)
    full = b.fully_connected(s2b, 10)
    return b.graph(stem, dw, p8, e24, d5, p8b, add, e12, s2, s2b, valid, odd, back, full)


def _agrees(board_id: str, graph: Graph, folder: Path) -> None:
    board = load_board(board_id)
    if missing_tools(board):
        pytest.skip(f"tools of {board_id} are not installed")
    program = lower(graph)
    generated = folder / "generated"
    generated.mkdir(parents=True)
    write_model(generated, make_plan(program, board.kernels), "a test")
    elf = build_project(create_project(folder, board, generated), board)
    first = program.values[0]
    rng = np.random.default_rng(1)
    images = rng.integers(-128, 128, (3, first.rows, first.width, first.channels)).astype(np.int8)
    images[1] = 127
    values = [program.values[o] for o in program.outputs]
    responses = run(elf, board, images, [(v.rows, v.width, v.channels) for v in values])
    for image, response in zip(images, responses, strict=True):
        expected = run_program(program, image)
        for output, got in zip(program.outputs, response.outputs, strict=True):
            np.testing.assert_array_equal(expected[output], got, program.layers[output - 1].label)


@pytest.mark.parametrize("board", DSP)
def test_dsp_kernels(board: str, tmp_path: Path) -> None:
    sets = load_board(board).kernels
    program = lower(_dsp_shapes(0))
    functions = {call.function for call in make_plan(program, sets).calls}
    assert {"vad_pointwise_dsp", "vad_depthwise_dsp_rows", "vad_conv2d_dsp"} <= functions
    _agrees(board, _dsp_shapes(0), tmp_path)


@pytest.mark.parametrize("board", EMULATED)
def test_random_graph(board: str, tmp_path: Path) -> None:
    _agrees(board, random_graph(EMULATED.index(board)), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 30))
def test_more_random_graphs(seed: int, tmp_path: Path) -> None:
    _agrees(EMULATED[seed % len(EMULATED)], random_graph(seed), tmp_path / "a")
    _agrees(DSP[seed % len(DSP)], _dsp_shapes(seed), tmp_path / "b")
