"""Tables, plots and the page of a study, from rows made here."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest
from parts import part, save

from vadgen import cli
from vadgen.benchmark import thesis
from vadgen.benchmark.cell import Cell, Costs, Figures, Row, Suspects
from vadgen.benchmark.contamination import Draw
from vadgen.benchmark.plots import plots
from vadgen.benchmark.store import write_row
from vadgen.benchmark.tables import tables
from vadgen.report.figures import BarPlot, Plot, Point, Scatter, ScatterPlot

CELL = Cell("mvtec", "transistor", "tiny", "random", 64, "padim", 0.0, False, 0)


def row(auroc: float, **changes: object) -> Row:
    """A row with figures near `auroc`; integer detectors have flash and instructions."""
    cell = replace(CELL, **changes)  # type: ignore[arg-type]
    n = round(100 * cell.contamination)
    seconds = 0.01 if cell.detector == "padim_diagonal" else 0.2
    integer = {"flash_bytes": 90_000, "ram_bytes": 9_000, "instructions": 3_000_000}
    return Row(
        cell,
        train_images=80,
        holdout_images=20,
        test_images=50,
        draw=Draw(n, n / (100 + n), 0.03 if n else 0.0),
        metrics=Figures(auroc, auroc - 0.1, 0.8, 0.5, 0.9, 0.2, 0.7, 0.05),
        costs=Costs(
            fit_seconds=seconds,
            fit_peak_bytes=10_000_000,
            infer_seconds=0.001,
            backbone_seconds=0.02,
            model_bytes=1000 if cell.board else 4000,
            **(integer if cell.board else {}),
        ),
        suspects=Suspects(n + 1, n, 0.95, ("gone.png",), (1.7,), (True,))
        if cell.guard
        else Suspects(),
        losses=(1.0, 0.5) if cell.detector == "cfa" else (),
    )


ROWS = [
    *(row(0.9 + seed / 100, seed=seed) for seed in range(3)),
    *(row(0.8, seed=seed, detector="padim_diagonal") for seed in range(3)),
    *(row(0.99, seed=seed, detector="patchcore", category=c) for c in ("screw", "transistor")
      for seed in range(2)),
    *(row(0.7 + p, seed=0, contamination=p, guard=g) for p in (0.1, 0.2) for g in (False, True)),
    row(0.85, detector="padim_int8", board="qemu_m7"),
    row(0.97, detector="patchcore_int8", board="qemu_m7"),
    Row(replace(CELL, contamination=0.9), impossible="takes too many anomalies"),
]  # fmt: skip


def test_thesis_figures_that_can_be_trusted() -> None:
    assert thesis.table_number("padim", "mvtec") == 1
    assert thesis.table_number("stfpm", "realiad") == 12
    assert thesis.table_number("padim", "elpv") is None
    assert thesis.figures("padim", "mvtec", "transistor") == {
        "image_f1": 0.818,
        "pixel_f1": 0.583,
        "image_auroc": 0.886,
        "pixel_auroc": 0.928,
    }
    assert set(thesis.figures("patchcore", "visa", "pcb1")) == {"image_f1", "image_auroc"}
    assert not thesis.figures("patchcore", "mvtec", "cashew")
    assert thesis.figures("stfpm", "realiad", "mounts")
    assert not thesis.figures("stfpm", "realiad", "pcb")
    assert not thesis.figures("stfpm", "realiad", "zipper")
    assert not thesis.figures("cfa", "elpv", "mono")


def test_tables_have_means_spreads_and_the_thesis_beside_them() -> None:
    made = {table.name: table for table in tables(ROWS)}
    assert set(made) == {
        "table_10_1", "table_10_4", "contamination", "guard", "table_8_1", "costs",
    }  # fmt: skip
    padim = made["table_10_1"]
    full = next(r for r in padim.rows if r[2] == "padim")
    assert full[padim.head.index("image AUROC")] == "0.910 ± 0.010 (0.886)"
    assert full[3] == "3" and len(full[-1].split()) == 3
    patchcore = made["table_10_4"]
    assert [r[0] for r in patchcore.rows][-1] == "mean of 2"
    assert "(" not in patchcore.rows[0][patchcore.head.index("pixel AUROC")]
    (times,) = made["table_8_1"].rows
    assert times[4] == "20.0" and times[6] == "10.2"
    guard = made["guard"].rows
    assert [r[3:8] for r in guard] == [
        ("0.1", "0.950", "11.0", "10.0", "10.0"),
        ("0.2", "0.950", "21.0", "20.0", "20.0"),
    ]
    dirty = made["contamination"]
    assert "Not possible: takes too many anomalies." in dirty.note
    assert all(len(r) == len(table.head) for table in made.values() for r in table.rows)


def test_tables_as_csv_and_markdown() -> None:
    for table in tables(ROWS):
        lines = list(csv.reader(table.to_csv().splitlines()))
        assert tuple(lines[0]) == table.head and len(lines) == len(table.rows) + 1
        text = table.to_markdown()
        assert text.startswith(f"### {table.title}\n")
        assert len(re.findall(r"^\|", text, re.MULTILINE)) == len(table.rows) + 2


def test_plots_that_the_rows_can_fill() -> None:
    made = {plot.name: plot for plot in plots(ROWS)}
    assert set(made) == {
        "figure_3_4", "figure_3_5", "figure_4_1", "contamination", "figure_8_1", "figure_8_2",
        "pareto_firmware", "pareto_model",
    }  # fmt: skip
    bars = made["figure_3_4"]
    assert isinstance(bars, BarPlot) and len(bars.panels) == 4
    by_name = {b.name: b for b in bars.panels[2].bars}
    assert by_name["tiny padim"].values == (pytest.approx(0.91),)
    assert by_name["thesis"].values == (0.886,)
    front = made["pareto_firmware"]
    assert isinstance(front, ScatterPlot) and len(front.panels) == 2
    assert {p.name for p in front.panels[0].points} == {"tiny padim_int8", "tiny patchcore_int8"}
    ranges = made["figure_4_1"]
    assert isinstance(ranges, BarPlot) and ranges.panels[0].groups == ("none", "2 to 5 %")
    lines = made["contamination"]
    assert isinstance(lines, Plot)
    assert [(line.name, line.is_dashed) for line in lines.lines] == [
        ("padim", False), ("padim, with guard", True),
    ]  # fmt: skip
    assert lines.lines[0].x == (0.0, 0.1, 0.2)
    assert "losses" in {plot.name for plot in plots([*ROWS, row(0.9, detector="cfa")])}


def test_the_front_holds_what_nothing_beats() -> None:
    places = {"a": (1, 0.8), "b": (2, 0.7), "c": (3, 0.9), "d": (3, 0.85), "e": (9, 0.9)}
    points = tuple(Point(name, "kind", x, y) for name, (x, y) in places.items())
    front = Scatter("x", points).front()
    assert [p.name for p in front] == ["a", "c"]


def test_report_on_a_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    picture = save(tmp_path / "odd.png", part(np.random.default_rng(0)))
    guarded = row(0.9, contamination=0.1, guard=True, category="<b>")
    seen = Suspects(3, 1, 0.9, (str(picture), "gone.png"), (1.5, 0.5), (True, False))
    for each in (*ROWS, replace(guarded, suspects=seen)):
        write_row(tmp_path, each)
    assert cli.main(["benchmark", "report", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "Table 10.1" in told and "Figure 4.1" in told
    folder = tmp_path / "report"
    page = (folder / "report.html").read_text()
    assert "&lt;b&gt;" in page and "<b>" not in page
    assert page.count("data:image/png") == 9, "eight plots, one picture that is there"
    assert "http" not in page.replace("http-equiv", "")
    assert "Table 8.1" in (folder / "report.md").read_text()
    with (folder / "rows.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(ROWS) + 1
    assert (folder / "tables" / "table_10_1.csv").is_file()
    assert (folder / "plots" / "figure_8_1.png").read_bytes()[:4] == b"\x89PNG"
    before = (folder / "report.html").read_bytes()
    monkeypatch.chdir(tmp_path)
    assert cli.main(["benchmark", "report", ".", "--json"]) == 0
    assert (folder / "report.html").read_bytes() == before


def test_report_without_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["benchmark", "report", str(tmp_path)]) == 1
    assert "holds no finished row" in capsys.readouterr().err
