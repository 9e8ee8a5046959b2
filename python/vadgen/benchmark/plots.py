"""The study's plots: figures 3.4 to 3.7, 4.1, 8.1 and 8.2 of the thesis, and the Pareto fronts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from vadgen.benchmark import thesis
from vadgen.benchmark.cell import Row
from vadgen.benchmark.tables import Spread, Summary, family_of, spread_of, summarize
from vadgen.report.figures import BarPlot, Bars, Line, Panel, Plot, Point, Scatter, ScatterPlot

_PANELS = {
    "image_f1": "image F1 (oracle)",
    "pixel_f1": "pixel F1 (oracle)",
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
}
_RANGES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 1.0)
"""Edges of the ranges of pixel contamination c in figure 4.1."""

AnyPlot = BarPlot | ScatterPlot | Plot


def plots(rows: Sequence[Row]) -> tuple[AnyPlot, ...]:
    """Every plot that the rows can fill."""
    found = [s for s in summarize(rows) if not s.impossible]
    clean = [s for s in found if not s.cell.contamination and not s.cell.guard]
    made = [
        *_by_dataset(clean),
        *_contamination(rows, found),
        _times(clean),
        _diagonal(clean),
        *_fronts(clean),
        *_losses(rows),
    ]
    return tuple(plot for plot in made if plot is not None)


def _by_dataset(clean: Sequence[Summary]) -> Iterable[BarPlot]:
    """Figures 3.4 to 3.7: a family's figures by data set and backbone, means over categories."""
    families = dict.fromkeys(family_of(s.cell.detector) for s in clean)
    for family in families:
        mine = [s for s in clean if family_of(s.cell.detector) == family]
        datasets = tuple(dict.fromkeys(s.cell.dataset for s in mine))
        kinds = tuple(dict.fromkeys((s.cell.backbone, s.cell.detector) for s in mine))
        panels = tuple(
            Panel(
                title,
                datasets,
                (
                    *(_kind_bars(mine, datasets, kind, name) for kind in kinds),
                    *_thesis_bars(family, mine, datasets, name),
                ),
            )
            for name, title in _PANELS.items()
        )
        known = family in thesis.FAMILIES
        number = f"3.{4 + thesis.FAMILIES.index(family)}" if known else ""
        yield BarPlot(
            f"figure_{number.replace('.', '_')}" if known else f"figure_{family}",
            f"Figure {number}: {family} by data set and backbone" if known else family,
            "Means over categories and seeds; whiskers: deviation over categories.",
            panels,
        )


def _kind_bars(
    mine: Sequence[Summary], datasets: Sequence[str], kind: tuple[str, str], name: str
) -> Bars:
    """A figure of one backbone and detector by data set."""
    same = [s for s in mine if (s.cell.backbone, s.cell.detector) == kind]
    spreads = [
        _over_categories([s.figures.get(name) for s in same if s.cell.dataset == dataset])
        for dataset in datasets
    ]
    return _bars(" ".join(kind), spreads)


def _thesis_bars(
    family: str, mine: Sequence[Summary], datasets: Sequence[str], name: str
) -> Iterable[Bars]:
    """The thesis's means over the same categories, where it has them and they can be trusted."""
    if family not in thesis.FAMILIES:
        return
    spreads = []
    for dataset in datasets:
        parts = dict.fromkeys(s.cell.category for s in mine if s.cell.dataset == dataset)
        theirs = [thesis.figures(family, dataset, part).get(name) for part in parts]
        mean = spread_of([value for value in theirs if value is not None])
        spreads.append(mean and replace(mean, deviation=None))
    yield _bars("thesis", spreads)


def _contamination(rows: Sequence[Row], found: Sequence[Summary]) -> Iterable[Plot | BarPlot]:
    """Figure 4.1 by ranges of c as in the thesis, and image AUROC by p with and without guard."""
    swept = {row.cell.uncontaminated for row in rows if row.cell.contamination}
    if not swept:
        return
    by_range = _by_range([row for row in rows if row.cell.uncontaminated in swept])
    if by_range is not None:
        yield by_range
    found = [s for s in found if s.cell.uncontaminated in swept]
    detectors = tuple(dict.fromkeys(s.cell.detector for s in found))
    lines = []
    guarded = {s.cell.detector for s in found if s.cell.guard}
    for i, detector in enumerate(detectors):
        for guard in (False, True) if detector in guarded else (False,):
            mine = [s for s in found if s.cell.detector == detector and s.cell.guard is guard]
            places = sorted({s.cell.contamination for s in mine})
            values = [
                [
                    s.figures["image_auroc"].mean
                    for s in mine
                    if s.cell.contamination == p and "image_auroc" in s.figures
                ]
                for p in places
            ]
            name = f"{detector}, with guard" if guard else detector
            means = tuple(float(np.mean(v)) for v in values)
            lines.append(Line(name, tuple(places), means, guard, i))
    yield Plot(
        "contamination",
        "Image AUROC by contamination",
        "Means over categories, backbones and seeds; dashed: suspicious pictures dropped.",
        "anomalies moved into the training set, as a share p of it",
        "image AUROC",
        tuple(lines),
    )


def _by_range(rows: Sequence[Row]) -> BarPlot | None:
    """Figure 4.1, from the rows without guard whose moved pictures all have masks."""
    placed = [
        (row, _range(row.draw.pixels))
        for row in rows
        if not row.cell.guard and row.metrics and row.draw and row.draw.pixels is not None
    ]
    if not placed:
        return None
    ranges = sorted({place for _, place in placed})

    def bars(detector: str, name: str) -> Bars:
        mine = [(row, place) for row, place in placed if row.cell.detector == detector]
        return _bars(
            detector,
            [
                spread_of([getattr(row.metrics, name) for row, place in mine if place == wanted])
                for wanted in ranges
            ],
        )

    groups = tuple(_range_name(place) for place in ranges)
    detectors = dict.fromkeys(row.cell.detector for row, _ in placed)
    return BarPlot(
        "figure_4_1",
        "Figure 4.1: figures by the share c of defect pixels in what contaminates",
        "Means over categories, backbones, p and seeds in a range of c; whiskers: deviation.",
        tuple(
            Panel(title, groups, tuple(bars(detector, name) for detector in detectors))
            for name, title in _PANELS.items()
        ),
    )


def _times(clean: Sequence[Summary]) -> BarPlot | None:
    """Figure 8.1: PaDiM's fit and scoring times, with the whole covariance and its diagonal."""
    pairs = _padim_pairs(clean)
    if not pairs:
        return None
    groups = tuple(_part(full) for full, _ in pairs)
    panels = []
    for name, title in (
        ("fit_seconds", "fit, processor seconds"),
        ("infer_seconds", "scoring one picture, processor seconds"),
    ):
        bars = tuple(
            _bars(kind, [pair[i].figures.get(name) for pair in pairs])
            for i, kind in enumerate(("full covariance", "diagonal"))
        )
        panels.append(Panel(title, groups, bars, is_share=False))
    return BarPlot(
        "figure_8_1",
        "Figure 8.1: what the diagonal saves PaDiM",
        "Features at hand, one thread; means over seeds, whiskers: deviation.",
        tuple(panels),
    )


def _diagonal(clean: Sequence[Summary]) -> BarPlot | None:
    """Figure 8.2: PaDiM's figures with the whole covariance and its diagonal."""
    pairs = _padim_pairs(clean)
    if not pairs:
        return None
    groups = tuple(_part(full) for full, _ in pairs)
    panels = tuple(
        Panel(
            title,
            groups,
            tuple(
                _bars(kind, [pair[i].figures.get(name) for pair in pairs])
                for i, kind in enumerate(("full covariance", "diagonal"))
            ),
        )
        for name, title in _PANELS.items()
    )
    return BarPlot(
        "figure_8_2",
        "Figure 8.2: what the diagonal costs PaDiM",
        "Means over seeds, whiskers: deviation.",
        panels,
    )


def _fronts(clean: Sequence[Summary]) -> Iterable[ScatterPlot]:
    """Image AUROC against what it takes: flash and instructions of integers, bytes of all."""
    text = "Means over categories and seeds; the line joins what nothing beats."
    flash = _scatter(clean, "flash_bytes", "flash of the firmware", "bytes")
    work = _scatter(clean, "instructions", "instructions for one picture", "count")
    model = _scatter(clean, "model_bytes", "bytes of the detector, beside the backbone", "bytes")
    firmware = tuple(panel for panel in (flash, work) if panel is not None)
    if firmware:
        title = "Pareto: image AUROC against flash and instructions"
        yield ScatterPlot("pareto_firmware", title, text, "image AUROC", firmware)
    if model is not None:
        title = "Pareto: image AUROC against the detector's size"
        yield ScatterPlot("pareto_model", title, text, "image AUROC", (model,))


def _scatter(clean: Sequence[Summary], name: str, label: str, unit: str) -> Scatter | None:
    """A point a backbone and detector; None with fewer than two."""
    groups: dict[tuple[str, str], list[Summary]] = {}
    for s in clean:
        if name in s.figures and "image_auroc" in s.figures:
            groups.setdefault((s.cell.backbone, s.cell.detector), []).append(s)
    points = tuple(
        Point(
            f"{backbone} {detector}",
            detector,
            float(np.mean([s.figures[name].mean for s in mine])),
            float(np.mean([s.figures["image_auroc"].mean for s in mine])),
        )
        for (backbone, detector), mine in groups.items()
    )
    return Scatter(label, points, unit) if len(points) > 1 else None


def _losses(rows: Sequence[Row]) -> Iterable[Plot]:
    """Training loss by epoch, where something is trained: a line a combination, its first seed."""
    lines: dict[str, Line] = {}
    for row in rows:
        cell = row.cell
        if row.losses and not cell.contamination and not cell.guard:
            name = f"{cell.category} {cell.backbone} {cell.detector}"
            epochs = tuple(float(i + 1) for i in range(len(row.losses)))
            lines.setdefault(name, Line(name, epochs, row.losses))
    if lines:
        yield Plot(
            "losses",
            "Training loss",
            "Mean loss of each epoch, first seed.",
            "epoch",
            "loss",
            tuple(lines.values()),
            y_log=True,
        )


def _padim_pairs(clean: Sequence[Summary]) -> list[tuple[Summary, Summary]]:
    """PaDiM with the whole covariance, and the same with its diagonal."""
    by_cell = {s.cell: s for s in clean}
    pairs = []
    for s in clean:
        diagonal = by_cell.get(replace(s.cell, detector="padim_diagonal"))
        if s.cell.detector == "padim" and diagonal is not None:
            pairs.append((s, diagonal))
    return pairs


def _part(summary: Summary) -> str:
    return f"{summary.cell.category}\n{summary.cell.backbone}"


def _over_categories(spreads: Sequence[Spread | None]) -> Spread | None:
    """Mean over categories and the deviation over them; that over seeds where there is but one."""
    known = [spread for spread in spreads if spread is not None]
    return known[0] if len(known) == 1 else spread_of([spread.mean for spread in known])


def _bars(name: str, spreads: Sequence[Spread | None]) -> Bars:
    return Bars(
        name,
        tuple(None if s is None else s.mean for s in spreads),
        tuple(None if s is None else s.deviation for s in spreads),
    )


def _range(pixels: float) -> int:
    """Which range of c; 0 for none at all."""
    return 0 if pixels == 0 else int(np.searchsorted(_RANGES, pixels, side="left"))


def _range_name(place: int) -> str:
    if place == 0:
        return "none"
    return f"{100 * _RANGES[place - 1]:g} to {100 * _RANGES[place]:g} %"
