"""`benchmark report`: tables as CSV and Markdown, plots as PNG and CSV, all of it in one HTML."""

from __future__ import annotations

import base64
import csv
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vadgen.benchmark.cell import Row
from vadgen.benchmark.plots import AnyPlot, plots
from vadgen.benchmark.store import check_packages, flat, read_rows
from vadgen.benchmark.tables import Table, tables
from vadgen.data.images import load_rgb
from vadgen.errors import VadgenError
from vadgen.pipeline.staging import shown
from vadgen.progress import Progress
from vadgen.report.figures import (
    BarPlot,
    ScatterPlot,
    check_drawing,
    write_bars,
    write_plot,
    write_scatter,
)
from vadgen.report.heatmap import to_png
from vadgen.report.html import environment

FOLDER = "report"
_THUMBNAIL = 104
_GROUPS = 12


@dataclass(frozen=True)
class ReportResult:
    """What `benchmark report` prints."""

    out: str
    rows: int
    tables: tuple[str, ...]
    plots: tuple[str, ...]
    report: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As `benchmark report --json` prints it."""
        return dict(vars(self))


@dataclass(frozen=True)
class _Thumbnail:
    name: str
    score: str
    planted: bool
    dropped: bool
    png: str


@dataclass(frozen=True)
class _Suspects:
    title: str
    pictures: tuple[_Thumbnail, ...]


@dataclass(frozen=True)
class _Drawn:
    name: str
    title: str
    short: str
    png: str


def report(out: Path, progress: Progress) -> ReportResult:
    """Writes OUT/report from the rows that are there, also of a sweep that still runs.

    Raises:
        VadgenError: no study, a package is missing, or the folder cannot be written.
    """
    started = time.monotonic()
    check_packages()
    check_drawing()
    rows = read_rows(out)
    folder = out / FOLDER
    try:
        for name in ("tables", "plots"):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VadgenError(
            f"{folder} cannot be written: {error.strerror}", "check the folder's permissions"
        ) from None
    progress.step(f"Tables of {len(rows)} rows")
    made = tables(rows)
    _write_tables(folder, made, rows)
    progress.step("Plots")
    drawn = [_drawn(plot, folder / "plots") for plot in plots(rows)]
    progress.step("report.html")
    page = (
        environment()
        .get_template("study.html.j2")
        .render(
            title=_title(rows),
            summary=_summary(rows),
            plots=drawn,
            tables=made,
            suspects=_suspects(rows),
        )
    )
    (folder / "report.html").write_text(page, encoding="utf-8")
    return ReportResult(
        shown(out),
        len(rows),
        tuple(table.title for table in made),
        tuple(plot.title for plot in drawn),
        shown(folder / "report.html"),
        round(time.monotonic() - started, 1),
    )


def _write_tables(folder: Path, made: Sequence[Table], rows: Sequence[Row]) -> None:
    for table in made:
        (folder / "tables" / f"{table.name}.csv").write_text(table.to_csv(), encoding="utf-8")
        (folder / "tables" / f"{table.name}.md").write_text(table.to_markdown(), encoding="utf-8")
    file = io.StringIO()
    records = [flat(row) for row in rows]
    writer = csv.DictWriter(file, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    (folder / "rows.csv").write_text(file.getvalue(), encoding="utf-8")
    text = f"# {_title(rows)}\n\n{_summary(rows)}\n\n"
    text += "\n".join(table.to_markdown() for table in made)
    (folder / "report.md").write_text(text, encoding="utf-8")


def _drawn(plot: AnyPlot, folder: Path) -> _Drawn:
    match plot:
        case BarPlot():
            picture, _ = write_bars(plot, folder)
        case ScatterPlot():
            picture, _ = write_scatter(plot, folder)
        case _:
            picture, _ = write_plot(plot, folder)
    png = base64.b64encode(picture.read_bytes()).decode()
    return _Drawn(plot.name, plot.title, plot.title.split(":")[0], png)


def _title(rows: Sequence[Row]) -> str:
    return f"Study of {', '.join(dict.fromkeys(row.cell.dataset for row in rows))}"


def _summary(rows: Sequence[Row]) -> str:
    """How much was run."""
    ran = [row for row in rows if not row.impossible]

    def count(name: str) -> int:
        return len({getattr(row.cell, name) for row in rows})

    parts = [
        f"{len(ran)} rows",
        *(
            f"{count(name)} {title}"
            for name, title in (
                ("category", "categories"),
                ("backbone", "backbones"),
                ("detector", "detectors"),
                ("contamination", "contaminations"),
                ("seed", "seeds"),
            )
        ),
    ]
    parts += [f"{len(rows) - len(ran)} not possible"] if len(ran) < len(rows) else []
    return " · ".join(parts)


def _suspects(rows: Sequence[Row]) -> list[_Suspects]:
    """Thumbnails of the guard's rankings: one for each part and contamination, the first seed's."""
    found: dict[tuple[str, str, float], Row] = {}
    for row in rows:
        if row.cell.guard and row.suspects.paths:
            found.setdefault((row.cell.dataset, row.cell.category, row.cell.contamination), row)
    groups = []
    for (dataset, category, p), row in list(found.items())[:_GROUPS]:
        seen = zip(row.suspects.paths, row.suspects.scores, row.suspects.planted, strict=True)
        pictures = [
            _Thumbnail(Path(path).name, f"{score:.2f}", planted, score > 1, png)
            for path, score, planted in seen
            if (png := _thumbnail(Path(path)))
        ]
        title = f"{dataset}/{category}, p = {p:g}: {row.suspects.dropped} dropped"
        title += f", {row.suspects.dropped_planted} of them planted" if p else ""
        groups.append(_Suspects(title, tuple(pictures)))
    return groups


def _thumbnail(path: Path) -> str:
    """A small PNG as base64; "" when the picture is no longer there."""
    try:
        return base64.b64encode(to_png(load_rgb(path, _THUMBNAIL))).decode()
    except VadgenError:
        return ""
