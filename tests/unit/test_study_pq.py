"""`study pq` from end to end on a tiny build: points, plots, a second run from the cache."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import parts
import pytest
from PIL import Image
from verbs import PADIM, TINY, fails, run_json

from vadgen.errors import Exit

pytestmark = pytest.mark.usefixtures("cache")

SWEEP = ("--codes", "40,16", "--candidates", "1,4,16,30", "--bits", "4")
PLOTS = {
    *("memory", "quantized", "image_f1", "pixel_f1", "image_auroc", "pixel_auroc"),
    *("found", "work", "bytes"),
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return parts.write_labelled(tmp_path / "data")


@pytest.fixture
def build(data: Path, tmp_path: Path, capfd: Any) -> Path:
    out = tmp_path / "out"
    run_json(capfd, "build", "--board", "host", "--data", data, *TINY, *PADIM, "--out", out)
    return out


def test_a_sweep_and_its_plots(build: Path, data: Path, tmp_path: Path, capfd: Any) -> None:
    pytest.importorskip("matplotlib")
    told = run_json(capfd, "study", "pq", build, "--data", data, *SWEEP)
    points = told["points"]
    assert {(p["search"], p["rows"], p["candidates"]) for p in points} >= {
        ("float", 16, None),
        ("float", 40, None),
        ("adc", 40, None),
        *(("pqnn", 16, k) for k in (1, 4, 16)),
        *(("pqnn", 40, k) for k in (1, 4, 16, 30)),
    }
    for p in points:
        assert 0 <= p["image_auroc"] <= 1 and 0 <= p["pixel_f1"] <= 1
        assert p["found"] == 1 or p["search"] == "pqnn"
    by = {(p["search"], p["rows"], p["candidates"], p["subspaces"]): p for p in points}
    m = next(p["subspaces"] for p in points if p["search"] == "pqnn")
    all_rows, exact = by["pqnn", 16, 16, m], by["adc", 16, None, m]
    assert all_rows["found"] == 1
    assert all_rows["image_auroc"] == exact["image_auroc"]
    assert all_rows["pixel_f1"] == exact["pixel_f1"]
    assert exact["flash_bytes"] < by["float", 16, None, None]["flash_bytes"]
    for work in told["work"]:
        assert 0 < work["look_ups"] + work["direct"] and work["look_ups"] <= work["exhaustive"]

    out = Path(told["out"])
    assert {Path(name).stem for name in told["plots"]} == PLOTS
    for stem in PLOTS:
        assert Image.open(out / f"{stem}.png").size == (1200, 750)
        lines = list(csv.reader((out / f"{stem}.csv").open(encoding="utf-8")))
        assert lines[0][0] == "line" and len(lines) > 2
    assert json.loads((out / "study.json").read_text(encoding="utf-8"))["points"] == points

    again = run_json(
        capfd, "study", "pq", build, "--data", data, *SWEEP, "--out", tmp_path / "again"
    )
    assert again["points"] == points
    assert again["seconds"] < told["seconds"]
    for stem in PLOTS:
        for suffix in ("png", "csv"):
            name = f"{stem}.{suffix}"
            assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes()


def test_what_cannot_be_is_said_before_any_work(
    build: Path, data: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*more: str, code: int = Exit.INPUT) -> str:
        return fails(capfd, code, "study", "pq", build, "--data", data, *more)

    pytest.importorskip("matplotlib")
    assert "256 centroids" in refused("--codes", "40")
    assert "4 or 8" in refused("--bits", "5")
    assert "do not divide" in refused("--codes", "16", "--bits", "4", "--subspaces", "7")
    assert "--candidates 16" in refused("--codes", "16", "--bits", "4", "--candidates", "17")
    plain = data / "train" / "good"
    told = fails(capfd, Exit.INPUT, "study", "pq", build, "--data", plain)
    assert "no labelled pictures" in told
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "vadgen[study]" in refused(code=Exit.TOOL_MISSING)
