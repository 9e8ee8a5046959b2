"""Recipes: what they refuse and how they say so; what the hash depends on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from vadgen.errors import Exit, VadgenError
from vadgen.recipe import (
    PadimOptions,
    PatchcoreOptions,
    Recipe,
    canonical_json,
    keys,
    nearest,
    read_recipe,
    recipe_hash,
    to_toml,
)
from vadgen.units import parse_bytes

FULL = """
board = "qemu_m4"
data = "parts"
backbone = "mobilenet_v2"
weights = "w.npz"
width = 0.35
input = 96
detector = "patchcore"
kernels = "cmsis_nn,dsp"
flash_budget = "512K"
runtime = "tflm"
tflm = "tflm"
roi = "roi.png"
ram_budget = "192K"
alpha = 0.05
seed = 7
calibration_images = 16

[padim]
channels = 40
variant = "diagonal"

[patchcore]
search = "pqnn"
codes = 1000
candidates = 100
subspaces = 16
bits = 4
centroids = 12
bank_bytes = "64K"
instructions = 1000000
opq = true
opq_block = 24
small_tables = true
reweight = true

[student]
epochs = 20

[memory]
coreset_memory = 1048576
trim = 0.02
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str, **flags: str) -> VadgenError:
    with pytest.raises(VadgenError) as error:
        read_recipe(write(folder, text), flags)
    assert error.value.code == Exit.INPUT
    assert "\n" not in error.value.message + error.value.hint
    return error.value


def test_every_key_is_read(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, FULL), {})
    assert recipe.data == tmp_path / "parts"
    assert recipe.weights == tmp_path / "w.npz"
    assert (recipe.flash_budget, recipe.ram_budget) == (512 * 1024, 192 * 1024)
    assert recipe.padim == PadimOptions(40, "diagonal")
    assert recipe.patchcore == PatchcoreOptions(
        "pqnn", 1000, 100, 16, 4, 12, 65536, 1_000_000, True, 24, True, True
    )
    assert recipe.memory.trim == 0.02
    defaults = Recipe(board="x")
    for key in keys():
        owner = getattr(recipe, key.table) if key.table else recipe
        default = getattr(defaults, key.table) if key.table else defaults
        assert getattr(owner, key.name) != getattr(default, key.name), key.dotted


def test_flags_go_before_the_file_and_defaults_behind_it(tmp_path: Path) -> None:
    path = write(tmp_path, 'board = "qemu_m4"\nseed = 3\nalpha = 0.1\n')
    recipe = read_recipe(path, {"seed": "9", "padim.channels": "12", "patchcore.opq": True})
    assert (recipe.board, recipe.seed, recipe.alpha) == ("qemu_m4", 9, 0.1)
    assert recipe.padim.channels == 12
    assert recipe.patchcore.opq is True
    assert recipe.backbone == "efficientnet_lite0"


def test_flags_alone_and_their_paths() -> None:
    recipe = read_recipe(None, {"board": "qemu_m7", "data": "a/b", "memory.trim": "0"})
    assert recipe == Recipe(board="qemu_m7", data=Path("a/b"))


def test_no_two_keys_share_a_flag() -> None:
    flags = [key.flag for key in keys()]
    assert len(flags) == len(set(flags))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("bord = 1", "unknown key 'bord'", "did you mean board?"),
        ("[padim]\nchanels = 1", "unknown key 'padim.chanels'", "padim.channels"),
        ("[patchcor]\nbits = 4", "unknown table [patchcor]", "patchcore"),
        ("padim = 3", "key 'padim' is 3", "[padim]"),
        ("seed = -1", "key 'seed' is -1", "whole number from 0"),
        ('seed = "1"', "key 'seed' is \"1\"", "whole number"),
        ("seed = true", "key 'seed' is true", "whole number"),
        ("seed = 1.5", "key 'seed' is 1.5", "whole number"),
        ("input = 100", "key 'input' is 100", "multiple of 16 from 32 to 512"),
        ("width = 0.0", "key 'width' is 0.0", "above 0"),
        ("width = nan", "key 'width'", "a number"),
        ("alpha = 1", "key 'alpha' is 1", "at most 0.5"),
        ("flash_budget = 10", "key 'flash_budget' is 10", "at least 1024"),
        ('flash_budget = "12 parsecs"', "key 'flash_budget'", "512K"),
        ("calibration_images = 0", "key 'calibration_images' is 0", "from 1"),
        ('detector = "padm"', "key 'detector' is \"padm\"", "did you mean padim?"),
        ("data = 3", "key 'data' is 3", "a folder"),
        ('data = ""', "key 'data'", "a folder"),
        ("[patchcore]\nbits = 5", "key 'patchcore.bits' is 5", "4 or 8"),
        ("[patchcore]\nopq = 1", "key 'patchcore.opq' is 1", "true or false"),
        ("[memory]\ntrim = 0.6", "key 'memory.trim' is 0.6", "from 0 to 0.5"),
        ("seed = [1, 2]", "key 'seed' is [1, 2]", "whole number"),
        ("when = 1979-05-27", "unknown key 'when'", "known"),
        ("seed = {a = 1}", "key 'seed' is", "whole number"),
        ("seed = = 1", "not valid TOML", "quotes"),
        ("", "no board given", "--board"),
    ],
)
def test_refused(text: str, message: str, hint: str, tmp_path: Path) -> None:
    error = refused(tmp_path, text)
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    ("flag", "text", "message", "hint"),
    [
        ("seed", "x", '--seed is "x"', "whole number"),
        ("memory.coreset_memory", "1Q", "--coreset-memory", "512K"),
        ("width", "nan", "--width", "a number"),
        ("patchcore.bits", "8.0", "--bits", "4 or 8"),
    ],
)
def test_refused_flags(flag: str, text: str, message: str, hint: str) -> None:
    with pytest.raises(VadgenError) as error:
        read_recipe(None, {"board": "x", flag: text})
    assert message in error.value.message
    assert hint in error.value.hint


@pytest.mark.parametrize("detector", ["auto", "padim", "patchcore"])
def test_epochs_where_nothing_is_trained(detector: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(FULL, encoding="utf-8")
    stated = read_recipe(path, {"detector": detector})
    assert stated.student.epochs is not None
    with pytest.raises(VadgenError, match=f"--epochs .* {detector} is not trained") as caught:
        read_recipe(path, {"detector": detector, "student.epochs": "20"})
    assert "--detector stfpm" in caught.value.hint and caught.value.code == Exit.INPUT
    trained = read_recipe(path, {"detector": "paste", "student.epochs": "20"})
    assert trained.student.epochs == 20


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(VadgenError, match="does not exist"):
        read_recipe(tmp_path / "none.toml", {})
    with pytest.raises(VadgenError, match="cannot be read"):
        read_recipe(tmp_path, {})
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(VadgenError, match="not text"):
        read_recipe(tmp_path / "b.toml", {})


def test_nearest_or_all() -> None:
    assert nearest("qemu_m77", ["qemu_m7", "host"]) == "did you mean qemu_m7?"
    assert nearest("zzz", ["b", "a"]) == "known: a, b"


# --- hash and TOML --------------------------------------------------------------------------------


def test_the_hash_is_the_same_everywhere_and_for_ever(tmp_path: Path) -> None:
    here = Recipe(board="qemu_m7", data=tmp_path / "a" / "parts")
    there = Recipe(board="qemu_m7", data=tmp_path / "b" / "parts")
    assert recipe_hash(here, data_sha256="12") == recipe_hash(there, data_sha256="12")
    assert str(tmp_path) not in canonical_json(here)
    assert json.loads(canonical_json(here, data_sha256="12"))["data"] == {
        "name": "parts",
        "sha256": "12",
    }
    assert json.loads(canonical_json(Recipe(board="x")))["data"]["name"] == "demo"


def test_every_field_changes_the_hash(tmp_path: Path) -> None:
    full = read_recipe(write(tmp_path, FULL), {})
    base = Recipe(board="qemu_m7")
    hashes = {recipe_hash(base), recipe_hash(base, data_sha256="1")}
    hashes.add(recipe_hash(base, weights_sha256="1"))
    hashes.add(recipe_hash(dataclasses.replace(base, roi=full.roi), roi_sha256="1"))
    fields = [field.name for field in dataclasses.fields(Recipe)]
    for name in fields:
        hashes.add(recipe_hash(dataclasses.replace(base, **{name: getattr(full, name)})))
    assert len(hashes) == len(fields) + 4


def test_toml_builds_the_same_again(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, FULL), {})
    text = to_toml(recipe)
    assert str(tmp_path) not in text
    assert read_recipe(write(tmp_path, text), {}) == recipe
    small = Recipe(board="qemu_m7")
    assert read_recipe(write(tmp_path, to_toml(small)), {}) == small


@pytest.mark.parametrize(
    ("value", "n_bytes"),
    [(65536, 65536), ("64K", 65536), ("64 KiB", 65536), ("1.5M", 1572864), ("2gb", 2 << 30)],
)
def test_parse_bytes(value: object, n_bytes: int) -> None:
    assert parse_bytes(value) == n_bytes


@pytest.mark.parametrize(
    "value", [True, 1.5, None, "", "K", "1.0001K", "64X", "6 4K", "inf", "nan"]
)
def test_parse_bytes_refuses(value: object) -> None:
    with pytest.raises((ValueError, OverflowError)):
        parse_bytes(value)
