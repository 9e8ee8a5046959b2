"""The memory bank that a build chooses, and what it says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import parts
import pytest
from verbs import TINY, fails, run_json

from vadgen.errors import Exit
from vadgen.pipeline.shipped import load_shipped

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parts.write_labelled(tmp_path_factory.mktemp("data"))


def test_what_a_build_chooses_by_itself(data: Path, tmp_path: Path, capfd: Any) -> None:
    outs = [tmp_path / "a", tmp_path / "b"]
    common = ("build", "--board", "host", "--data", data, *TINY)
    result = run_json(capfd, *common, "--out", outs[0])
    assert result["detector"] == "patchcore"
    assert any("PatchCore, since it fits host" in note for note in result["notes"])
    first, *others = result["weighed"]
    assert len(others) >= 4
    assert first["search"] in ("adc", "flat", "pqnn")
    assert first["title"] in (outs[0] / "report.html").read_text(encoding="utf-8")
    manifest = json.loads((outs[0] / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["weighed"] == result["weighed"]
    taken = manifest["recipe"]["patchcore"]
    assert (taken["search"], taken["codes"]) == (first["search"], first["codes"])

    again = run_json(capfd, *common[:5], "--recipe", outs[0] / "recipe.toml", "--out", outs[1])
    assert again["weighed"] == []
    banks = [load_shipped(out).detector.tables.bank.decode() for out in outs]
    np.testing.assert_array_equal(*banks)
    assert again["threshold"] == result["threshold"]


def test_flags_narrow_the_choice(data: Path, tmp_path: Path, capfd: Any) -> None:
    common = ("build", "--board", "host", "--data", data, *TINY, "--out", tmp_path / "out")
    result = run_json(capfd, *common, "--search", "adc", "--bits", "4", "--opq", "--codes", 64)
    assert {(b["search"], b["bits"], b["opq"], b["codes"]) for b in result["weighed"]} == {
        ("adc", 4, True, 64)
    }
    assert "rotated" in result["detector_title"]


def test_banks_that_cannot_be(data: Path, tmp_path: Path, capfd: Any) -> None:
    out = tmp_path / "outs" / "out"
    common = ("build", "--board", "host", "--data", data, *TINY, "--out", out)
    bank = (*common, "--detector", "patchcore")
    told = fails(capfd, Exit.INPUT, *bank, "--search", "pqnn", "--codes", 40, "--candidates", 41)
    assert "41 candidates are more than the 40 rows" in told and "--candidates 40" in told
    told = fails(capfd, Exit.INPUT, *bank, "--search", "adc", "--subspaces", 7)
    assert "7 subspaces do not divide" in told and "--subspaces" in told.splitlines()[1]
    told = fails(capfd, Exit.INPUT, *bank, "--search", "adc", "--bits", 8, "--codes", 100)
    assert "100 rows are fewer than the 256 centroids" in told and "--codes 256" in told
    told = fails(capfd, Exit.INPUT, *bank, "--search", "flat", "--bits", 8, "--codes", 100_000)
    assert "are fewer than the 100000 rows" in told and "or less" in told
    told = fails(capfd, Exit.DOES_NOT_FIT, *bank, "--codes", 500, "--bank-bytes", 1024)
    assert "of --bank-bytes" in told and "--codes" in told.splitlines()[1]
    told = fails(capfd, Exit.DOES_NOT_FIT, *bank, "--instructions", 1000)
    assert "instructions" in told
    named = ("--search", "adc", "--bits", 8, "--subspaces", 8)
    told = fails(capfd, Exit.INPUT, *bank, *named, "--codes", 100)
    assert "100 rows are fewer than the 256 centroids" in told and "--codes 256" in told
    told = fails(capfd, Exit.INPUT, *bank, *named, "--codes", 5000)
    assert "patches are fewer than the 5000 rows" in told and "--codes" in told.splitlines()[1]
    assert not out.exists()


def test_parts_that_make_no_bank(tmp_path: Path, capfd: Any) -> None:
    out = tmp_path / "outs" / "out"
    few, empty = parts.write_good(tmp_path / "few", 3), tmp_path / "empty"
    empty.mkdir()
    common = ("build", "--board", "host", *TINY, "--out", out, "--detector", "patchcore")
    told = fails(
        capfd, Exit.INPUT, *common, "--data", few, "--alpha", 0.3, "--search", "adc", "--bits", 8
    )
    assert "patches are fewer than the centroids" in told and "--search flat" in told
    told = fails(capfd, Exit.INPUT, *common, "--data", empty)
    assert "is empty" in told and "pictures of good parts" in told
    assert not out.exists()
