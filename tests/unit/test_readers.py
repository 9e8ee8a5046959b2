"""Readers of files from outside, against anything: they read it or raise `VadgenError`."""

from __future__ import annotations

import functools
import random
from pathlib import Path
from typing import Any

import pytest
from graphs import GraphBuilder
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from vadgen import paths
from vadgen.board import Board, list_boards, parse_board
from vadgen.errors import VadgenError
from vadgen.lower import Program, lower
from vadgen.pipeline.frozen import load_frozen
from vadgen.pipeline.manifest import read_manifest
from vadgen.quant.tflite_reader import read_tflite
from vadgen.quant.tflite_writer import write_tflite
from vadgen.recipe import Recipe, keys, read_recipe

BOARDS = [(paths.boards() / f"{name}.toml").read_text(encoding="utf-8") for name in list_boards()]
RECIPE = """board = "qemu_m7"
input = 96
alpha = 0.05
detector = "patchcore"
seed = 3

[padim]
channels = 40

[patchcore]
codes = 100
"""
NO_LIMIT = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150
)

scalars = (
    st.none().map(lambda _: "")
    | st.booleans().map(lambda b: str(b).lower())
    | st.integers(-(2**70), 2**70).map(str)
    | st.floats().map(str)
    | st.text(max_size=8).map(lambda s: '"' + s.replace("\\", "").replace('"', "") + '"')
    | st.sampled_from(["[]", "{}", "[1, [2]]", "{a = 1}", "1979-05-27", "0x7fffffffffffffff", "''"])
)


def mutated(texts: list[str]) -> st.SearchStrategy[str]:
    """Texts of which lines are lost, doubled, moved, or given another value."""

    @st.composite
    def draw_one(draw: Any) -> str:
        lines = draw(st.sampled_from(texts)).split("\n")
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, len(lines) - 1))
            what = draw(st.sampled_from(["lose", "double", "move", "value", "key", "cut"]))
            key, equals, value = lines[at].partition(" = ")
            if what == "lose" and len(lines) > 1:
                del lines[at]
            elif what == "double":
                lines.insert(at, lines[at])
            elif what == "move":
                lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(at))
            elif what == "value" and equals:
                lines[at] = f"{key} = {draw(scalars)}"
            elif what == "key":
                lines[at] = f"{draw(st.text(max_size=6))}{equals}{value}"
            elif what == "cut":
                lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
        return "\n".join(lines)

    return draw_one()


@NO_LIMIT
@given(mutated(BOARDS) | st.text(max_size=200))
@example('kernels = ["portable"]\nmemory = 3')
@example("a" * 5000 + " = 1")
def test_any_board_file(text: str) -> None:
    try:
        assert isinstance(parse_board("drawn", text, "drawn.toml"), Board)
    except VadgenError as error:
        assert error.message and error.hint


@NO_LIMIT
@given(text=mutated([RECIPE]) | st.text(max_size=200))
def test_any_recipe_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        assert isinstance(read_recipe(path, {}), Recipe)
    except VadgenError as error:
        assert error.message and error.hint


@NO_LIMIT
@given(data=st.binary(max_size=100))
def test_any_bytes_as_a_recipe(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(data)
    with pytest.raises(VadgenError):  # no bytes this short name a board
        read_recipe(path, {})


@NO_LIMIT
@given(st.dictionaries(st.sampled_from([k.dotted for k in keys()]), st.text(max_size=12)))
def test_any_flags(flags: dict[str, str]) -> None:
    try:
        assert isinstance(read_recipe(None, {"board": "qemu_m7", **flags}), Recipe)
    except VadgenError as error:
        assert error.message and error.hint


@functools.cache
def networks() -> tuple[bytes, ...]:
    b = GraphBuilder(1, (1, 9, 8, 3))
    x = b.conv(b.input, 8, (3, 3), (2, 2), activation="RELU6")
    x = b.add(x, b.conv(b.depthwise(x, (3, 3), activation="RELU6"), 8))
    head = b.softmax(b.fully_connected(b.mean(b.pool(x, average=False), keep_dims=False), 5))
    c = GraphBuilder(2, (1, 4, 5, 3))
    return (
        write_tflite(b.graph(x, head), "one"),
        write_tflite(c.graph(c.conv(c.input, 6, (3, 3))), "two"),
    )


@NO_LIMIT
@given(st.integers(0, 2**32 - 1), st.integers(0, 1), st.integers(1, 12))
def test_any_network_is_lowered_or_refused(seed: int, which: int, count: int) -> None:
    """Single bytes, whole words (offsets, lengths, dimensions) and pieces that move."""
    rng = random.Random(seed)
    data = bytearray(networks()[which])
    for _ in range(count):
        at = rng.randrange(len(data) - 8)
        kind = rng.randrange(4)
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            word = rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, rng.getrandbits(32)))
            data[at & ~3 : (at & ~3) + 4] = word.to_bytes(4, "little")
        elif kind == 2:
            other = rng.randrange(len(data) - 8)
            data[at : at + 8] = data[other : other + 8]
        else:
            del data[at : at + rng.choice((1, 2, 4, 8))]
        if len(data) < 32:
            break
    try:
        assert isinstance(lower(read_tflite(bytes(data))), Program)
    except VadgenError as error:
        assert error.message and error.hint


@NO_LIMIT
@given(data=st.binary(max_size=300))
@example(data=b"")
@example(data=b"PK\3\4")
def test_any_file_in_an_output(tmp_path: Path, data: bytes) -> None:
    for name in ("manifest.json", "model.npz"):
        (tmp_path / name).write_bytes(data)
    with pytest.raises(VadgenError):
        load_frozen(tmp_path / "model.npz")
    try:
        assert isinstance(read_manifest(tmp_path), dict)
    except VadgenError as error:
        assert error.message and error.hint
