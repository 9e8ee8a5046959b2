"""TensorFlow Lite Micro as the second runtime: flags, library, operators, the one at fault."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import GraphBuilder
from tflm_library import archive, compile_empty, write_tree
from verbs import fails

from vadgen.board import Board, load_board
from vadgen.build.tflm import ARCHIVE, find_library
from vadgen.emit.network import registered
from vadgen.errors import Exit, VadgenError
from vadgen.lower import lower
from vadgen.model import Graph
from vadgen.plan.whole import interpreter_bytes, tensor_bytes
from vadgen.quant.cut import cut, first_difference
from vadgen.quant.schema import INT8_VERSIONS
from vadgen.quant.tflite_reader import read_tflite
from vadgen.quant.tflite_writer import write_tflite
from vadgen.recipe import canonical_json, read_recipe, to_toml
from vadgen.ref.program import run_program

M7 = ("-mcpu=cortex-m7", "-mthumb")


def small() -> Graph:
    """Two branches that join, and two taps."""
    b = GraphBuilder(7, (1, 8, 8, 3))
    x = b.conv(b.input, 8, (3, 3), (2, 2), activation="RELU6")
    left = b.conv(b.depthwise(x, (3, 3)), 8)
    right = b.conv(x, 8)
    y = b.add(left, right)
    return b.graph(x, b.conv(y, 4))


def test_recipe_and_flags(tmp_path: Path) -> None:
    plain = read_recipe(None, {"board": "qemu_m7"})
    assert (plain.runtime, plain.tflm) == ("vadgen", None)
    path = tmp_path / "recipe.toml"
    path.write_text('board = "qemu_m7"\nruntime = "tflm"\ntflm = "tree"\n')
    recipe = read_recipe(path, {})
    assert (recipe.runtime, recipe.tflm) == ("tflm", tmp_path / "tree")
    assert str(tmp_path) not in canonical_json(recipe, tflm_sha256="00")
    assert '"tflm":{"name":"tree","sha256":"00"}' in canonical_json(recipe, tflm_sha256="00")
    assert 'tflm = "tree"' in to_toml(recipe)
    with pytest.raises(VadgenError, match="runtime"):
        read_recipe(None, {"board": "qemu_m7", "runtime": "tvm"})


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (("--board", "host", "--tflm", "."), Exit.INPUT, "without --runtime tflm"),
        (("--board", "host", "--runtime", "tflm"), Exit.TOOL_MISSING, "--tflm DIR"),
        (("--board", "host", "--runtime", "tflm", "--tflm", "no"), Exit.INPUT, "no is no folder"),
        (
            ("--board", "esp32s3", "--runtime", "tflm", "--tflm", "."),
            Exit.INPUT,
            "leave --tflm out",
        ),
    ],
)
def test_flags_that_contradict_each_other(
    flags: tuple[str, ...],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in fails(capfd, code, "build", *flags)


def test_each_operator_is_registered_once() -> None:
    assert registered(["CONV_2D", "ADD", "CONV_2D"]) == ["AddAdd", "AddConv2D"]
    assert len(registered(INT8_VERSIONS)) == len(INT8_VERSIONS)
    with pytest.raises(VadgenError, match="LSTM"):
        registered(["CONV_2D", "LSTM"])


# --- the library ----------------------------------------------------------------------------------


def cross(program: str = "arm-none-eabi-g++") -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def refused(tree: Path, board: Board, code: int) -> str:
    with pytest.raises(VadgenError) as caught:
        find_library(tree, board)
    assert caught.value.code == code
    return f"{caught.value.message}\n{caught.value.hint}"


def test_the_library_is_chosen_by_core_and_float_abi(tmp_path: Path) -> None:
    cross()
    tree = write_tree(tmp_path / "tree")
    prefix = "arm-none-eabi-"
    variants = {
        "m3": ("-mcpu=cortex-m3", "-mthumb"),
        "m4_hard": ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
        "m7_soft": (*M7, "-mfloat-abi=soft"),
        "m7_hard": (*M7, "-mfpu=fpv5-d16", "-mfloat-abi=hard"),
    }
    for name, flags in variants.items():
        compiled = compile_empty(tmp_path / f"{name}.o", prefix, flags)
        archive(tree / "gen" / name / "lib", [compiled], prefix)
    for board, name in (("qemu_m7", "m7_hard"), ("qemu_m4", "m4_hard"), ("qemu_m3", "m3")):
        assert find_library(tree, load_board(board)).archive.parent.parent.name == name
    # A Cortex-M4 has no double precision: without its own library none is left.
    shutil.rmtree(tree / "gen" / "m4_hard")
    said = refused(tree, load_board("qemu_m4"), Exit.TOOL_MISSING)
    assert "ARM v7E-M, hard float (FPU 6, single)" in said and "soft float" in said
    assert "`microlite` for cortex-m4" in said


def test_this_computers_library_and_its_headers(tmp_path: Path) -> None:
    cross("g++")
    tree, board = write_tree(tmp_path / "tree"), load_board("host")
    said = refused(tree, board, Exit.TOOL_MISSING)
    assert f"has no {ARCHIVE}" in said and "microlite" in said
    made = archive(tree / "gen" / "one" / "lib", [compile_empty(tmp_path / "one.o", "", ())])
    library = find_library(tree, board)
    assert library.archive == made
    assert library.includes[0] == tree and len(library.includes) == 4
    # A part of the tree will do, and must where there are several.
    archive(tree / "gen" / "two" / "lib", [tmp_path / "one.o"])
    assert f"--tflm {tree / 'gen' / 'two' / 'lib'}" in refused(tree, board, Exit.INPUT)
    assert find_library(tree / "gen" / "one", board).archive == made


def test_trees_that_cannot_be_used(tmp_path: Path) -> None:
    cross("g++")
    board = load_board("host")
    assert "micro_interpreter.h" in refused(tmp_path, board, Exit.INPUT)
    tree = write_tree(tmp_path / "tree")
    (tree / ARCHIVE).write_bytes(b"!<arch>\n")
    assert "no library of compiled objects" in refused(tree, board, Exit.INPUT)
    (tree / ARCHIVE).write_bytes(b"!<thin>\n")
    assert "no library of compiled objects" in refused(tree, board, Exit.INPUT)
    shutil.rmtree(tree / "tensorflow" / "lite" / "micro" / "tools")
    assert "flatbuffers" in refused(tree, board, Exit.INPUT)


def test_a_board_without_a_packaged_cxx_library(tmp_path: Path) -> None:
    cross("riscv64-unknown-elf-gcc")
    said = refused(write_tree(tmp_path / "tree"), load_board("qemu_rv32"), Exit.TOOL_MISSING)
    assert "no package has a C++ library" in said


# --- the operator at fault ------------------------------------------------------------------------


def test_a_part_of_a_graph_gives_the_same_bytes() -> None:
    graph = small()
    program = lower(graph)
    image = np.random.default_rng(0).integers(-128, 128, (8, 8, 3)).astype(np.int8)
    whole = run_program(program, image)
    for i in range(len(graph.ops)):
        part = lower(read_tflite(write_tflite(cut(graph, i))))
        assert len(part.outputs) == 1 and len(part.layers) <= i + 1
        values = run_program(part, image)
        assert np.array_equal(values[part.outputs[0]], whole[i + 1])


@pytest.mark.parametrize("wrong", range(6))
def test_the_first_operator_with_other_bytes_is_found(wrong: int) -> None:
    """A runtime in which one operator's kernel is wrong, whatever part of the graph it is in."""
    graph = small()
    faulty = graph.tensors[graph.ops[wrong].outputs[0]].name
    asked = []

    def differs(part: Graph) -> bool:
        asked.append(part)
        assert len(part.outputs) == 1
        return any(part.tensors[op.outputs[0]].name == faulty for op in part.ops)

    assert first_difference(graph, differs) == wrong
    assert len(asked) <= len(graph.ops)
    assert first_difference(graph, lambda part: False) is None


def test_tensors_that_are_alive_at_once() -> None:
    program = lower(small())
    sizes = [v.total_bytes for v in program.values]
    # While the branches join: they, the tap that they come from, and what they become.
    assert tensor_bytes(program) == sizes[1] + sizes[3] + sizes[4] + sizes[5]
    assert interpreter_bytes(program) > tensor_bytes(program)
