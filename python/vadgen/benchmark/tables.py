"""Rows brought together: means and spreads over seeds, the thesis's tables, CSV and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from vadgen.benchmark import thesis
from vadgen.benchmark.cell import FIGURES, Cell, Costs, Row
from vadgen.benchmark.integer import INTEGER
from vadgen.benchmark.methods import methods
from vadgen.units import show_bytes, show_count

COSTS = tuple(field.name for field in fields(Costs))


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (ddof = 1) of a figure over seeds; None with one seed."""

    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Summary:
    """Rows that differ only in their seed.

    Attributes:
        cell: what they share; its seed is 0.
        keys: of the rows, by seed.
        figures: by name, those of `FIGURES` and of `COSTS` that were measured; costs in their own
            units.
        impossible: why nothing was measured; "" otherwise.
        ratio: mean share of anomalies in the training set.
        pixels: mean share of their defect pixels.
        planted: mean number of anomalies moved into the training set.
        guard_auroc: how well the guard ranks planted anomalies, mean over seeds.
        dropped, dropped_planted: mean number of pictures that the guard dropped, and of planted
            anomalies among them; None without the guard.
    """

    cell: Cell
    keys: tuple[str, ...]
    figures: dict[str, Spread]
    impossible: str
    ratio: float | None
    pixels: float | None
    planted: float | None
    guard_auroc: float | None
    dropped: float | None
    dropped_planted: float | None

    def to_json(self) -> dict[str, Any]:
        """As `benchmark --json` prints it."""
        cell = {k: v for k, v in asdict(self.cell).items() if k != "seed"}
        return {
            **cell,
            "rows": list(self.keys),
            "impossible": self.impossible or None,
            "ratio": self.ratio,
            "pixels": self.pixels,
            "guard_auroc": self.guard_auroc,
            "dropped": self.dropped,
            "dropped_planted": self.dropped_planted,
            **{name: spread.mean for name, spread in self.figures.items()},
            "deviation": {
                name: spread.deviation
                for name, spread in self.figures.items()
                if spread.deviation is not None
            },
        }


def summarize(rows: Iterable[Row]) -> tuple[Summary, ...]:
    """One summary for all seeds of a combination, in the order of their cells."""
    groups: dict[Cell, list[Row]] = {}
    for row in rows:
        groups.setdefault(replace(row.cell, seed=0), []).append(row)
    return tuple(_summary(cell, groups[cell]) for cell in sorted(groups))


def _summary(cell: Cell, rows: Sequence[Row]) -> Summary:
    rows = sorted(rows, key=lambda row: row.cell.seed)
    done = [row for row in rows if row.metrics is not None]
    figures = {name: spread_of([getattr(row.metrics, name) for row in done]) for name in FIGURES}
    figures |= {name: spread_of([getattr(row.costs, name) for row in done]) for name in COSTS}
    draws = [row.draw for row in rows if row.draw is not None]
    return Summary(
        cell,
        tuple(row.cell.key for row in rows),
        {name: spread for name, spread in figures.items() if spread is not None},
        "" if done else rows[0].impossible,
        _mean([draw.ratio for draw in draws]),
        _mean([draw.pixels for draw in draws]),
        _mean([draw.images for draw in draws]),
        _mean([row.suspects.auroc for row in done]),
        _mean([row.suspects.dropped for row in done]) if cell.guard else None,
        _mean([row.suspects.dropped_planted for row in done]) if cell.guard else None,
    )


def spread_of(values: Sequence[float | None]) -> Spread | None:
    """Mean and deviation; None when a value is missing or there is none."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    deviation = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return Spread(float(np.mean(known)), deviation)


def _mean(values: Sequence[float | None]) -> float | None:
    spread = spread_of(values)
    return None if spread is None else spread.mean


@dataclass(frozen=True)
class Table:
    """A table as it is printed.

    Attributes:
        name: stem of its files, such as "table_10_1".
        title: what it shows.
        head: of the columns.
        rows: texts.
        note: what the reader must know.
    """

    name: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def to_csv(self) -> str:
        """A line a row, the head first."""
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([self.head, *self.rows])
        return file.getvalue()

    def to_markdown(self) -> str:
        """Title, table and note."""
        lines = [self.head, ("---",) * len(self.head), *self.rows]
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"### {self.title}\n\n{body}\n" + f"\n{self.note}\n" * bool(self.note)


def tables(rows: Sequence[Row]) -> tuple[Table, ...]:
    """Every table that the rows can fill: by category, contamination, guard, costs, fit times."""
    found = summarize(rows)
    clean = [s for s in found if not s.cell.contamination and not s.cell.guard and not s.impossible]
    made = [*_by_category(clean), _contamination(found), _guard(found), _fit_times(clean)]
    return tuple(table for table in [*made, _costs(clean)] if table is not None)


def family_of(detector: str) -> str:
    """The thesis's name of a detector's kind."""
    name = detector.partition("@")[0]
    if name in INTEGER:
        return INTEGER[name].family
    return methods()[name].family if name in methods() else detector


def show(spread: Spread | None, digits: int = 3) -> str:
    """Mean and, over several seeds, the deviation behind it."""
    if spread is None:
        return "-"
    more = "" if spread.deviation is None else f" ± {spread.deviation:.{digits}f}"
    return f"{spread.mean:.{digits}f}{more}"


_HEADS = {
    "image_f1": "image F1",
    "pixel_f1": "pixel F1",
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO",
    "aupimo": "AUPIMO",
    "recall": "recall",
    "false_positive_rate": "false alarms",
}


def _by_category(clean: Sequence[Summary]) -> Iterable[Table]:
    """Tables 10.1 to 10.12, and the same of other data sets; the thesis's figure in parentheses."""
    groups: dict[tuple[str, str], list[Summary]] = {}
    for summary in clean:
        key = (family_of(summary.cell.detector), summary.cell.dataset)
        groups.setdefault(key, []).append(summary)
    order = [*thesis.FAMILIES, *sorted({family for family, _ in groups} - {*thesis.FAMILIES})]
    for family, dataset in sorted(groups, key=lambda key: (order.index(key[0]), key[1])):
        group = groups[family, dataset]
        number = thesis.table_number(family, dataset)
        name = f"table_10_{number}" if number else f"table_{family}_{dataset}"
        head = ("category", "backbone", "detector", "seeds", *_HEADS.values(), "rows")
        body = [_category_row(family, s) for s in group]
        body += _means(group)
        title = f"{family} on {dataset} by category"
        yield Table(
            name,
            f"Table 10.{number}: {title}" if number else title,
            head,
            tuple(body),
            "Mean ± standard deviation over seeds. In parentheses the thesis's figure, which names "
            "no backbone, where it can be trusted. F1 is that of the best threshold the labels "
            "allow (oracle); recall and false alarms are those of the shipped threshold."
            if number
            else "",
        )


def _category_row(family: str, summary: Summary) -> tuple[str, ...]:
    cell = summary.cell
    theirs = thesis.figures(family, cell.dataset, cell.category)
    cells = [
        show(summary.figures.get(name))
        + (f" ({theirs[name]:.3f})" if name in theirs and name in summary.figures else "")
        for name in _HEADS
    ]
    keys = " ".join(key[:8] for key in summary.keys)
    return (
        cell.category,
        _backbone(cell),
        cell.detector,
        str(len(summary.keys)),
        *cells,
        keys,
    )


def _means(group: Sequence[Summary]) -> Iterable[tuple[str, ...]]:
    """Means over categories, where there are several."""
    kinds = dict.fromkeys((_backbone(s.cell), s.cell.detector) for s in group)
    for backbone, detector in kinds:
        same = [s for s in group if (_backbone(s.cell), s.cell.detector) == (backbone, detector)]
        if len(same) < 2:
            continue
        cells = []
        for name in _HEADS:
            known = [s.figures[name].mean for s in same if name in s.figures]
            cells.append(f"{np.mean(known):.3f}" if known else "-")
        yield (f"mean of {len(same)}", backbone, detector, "", *cells, "")


def _backbone(cell: Cell) -> str:
    """Backbone, with what would otherwise make two rows look the same."""
    own = "" if cell.weights == "published" else f" ({cell.weights[:6]})"
    return f"{cell.backbone}{own} {cell.input}"


def _contamination(found: Sequence[Summary]) -> Table | None:
    swept = {s.cell.uncontaminated for s in found if s.cell.contamination}
    if not swept:
        return None
    head = (
        "category",
        "backbone",
        "detector",
        "p",
        "anomalies in training",
        "defect pixels c",
        *_HEADS.values(),
    )
    body = [
        (
            s.cell.category,
            _backbone(s.cell),
            s.cell.detector,
            f"{s.cell.contamination:g}",
            "-" if s.ratio is None else f"{s.ratio:.1%}",
            "-" if s.pixels is None else f"{s.pixels:.2%}",
            *(show(s.figures.get(name)) for name in _HEADS),
        )
        for s in found
        if not s.cell.guard and s.cell.uncontaminated in swept
    ]
    reasons = dict.fromkeys(s.impossible for s in found if s.impossible)
    return Table(
        "contamination",
        "Contaminated training sets",
        head,
        tuple(body),
        "p: anomalies moved from the test set, over the clean training set (eq. 4.1). The share of "
        "anomalies in the training set is then p / (1 + p). c: mean share of defect pixels of the "
        "moved pictures (eq. 4.2, 4.3)." + "".join(f" Not possible: {why}." for why in reasons),
    )


def _guard(found: Sequence[Summary]) -> Table | None:
    by_cell = {s.cell: s for s in found}
    body = []
    for s in found:
        plain = by_cell.get(replace(s.cell, guard=False))
        if not s.cell.guard or s.impossible or plain is None:
            continue
        body.append(
            (
                s.cell.category,
                _backbone(s.cell),
                s.cell.detector,
                f"{s.cell.contamination:g}",
                "-" if s.guard_auroc is None else f"{s.guard_auroc:.3f}",
                "-" if s.dropped is None else f"{s.dropped:.1f}",
                "-" if s.dropped_planted is None else f"{s.dropped_planted:.1f}",
                "-" if s.planted is None else f"{s.planted:.1f}",
                show(plain.figures.get("image_auroc")),
                show(s.figures.get("image_auroc")),
                show(plain.figures.get("pixel_auroc")),
                show(s.figures.get("pixel_auroc")),
            )
        )
    if not body:
        return None
    head = (
        "category",
        "backbone",
        "detector",
        "p",
        "AUROC of the ranking",
        "dropped",
        "of them planted",
        "planted",
        "image AUROC",
        "with guard",
        "pixel AUROC",
        "with guard",
    )
    return Table(
        "guard",
        "The guard: suspicious training pictures dropped",
        head,
        tuple(body),
        "Means over seeds. Pictures are ranked by their distance from the others, each left out "
        "in turn; no label is used.",
    )


def _fit_times(clean: Sequence[Summary]) -> Table | None:
    """Table 8.1: PaDiM's fit with the full covariance and with its diagonal."""
    by_cell = {s.cell: s for s in clean}
    body = []
    for s in clean:
        diagonal = by_cell.get(replace(s.cell, detector="padim_diagonal"))
        if s.cell.detector != "padim" or diagonal is None:
            continue
        full, quick = s.figures.get("fit_seconds"), diagonal.figures.get("fit_seconds")
        if full is None or quick is None:
            continue
        theirs = thesis.FIT_SECONDS.get(s.cell.category) if s.cell.dataset == "mvtec" else None
        body.append(
            (
                s.cell.category,
                _backbone(s.cell),
                show(full),
                show(quick),
                f"{full.mean / quick.mean:.1f}",
                f"{1 - quick.mean / full.mean:.1%}",
                "-" if theirs is None else f"{theirs[0] / theirs[1]:.1f}",
                show(s.figures.get("image_auroc")),
                show(diagonal.figures.get("image_auroc")),
                show(s.figures.get("pixel_auroc")),
                show(diagonal.figures.get("pixel_auroc")),
            )
        )
    head = (
        "category",
        "backbone",
        "full, s",
        "diagonal, s",
        "times faster",
        "saved",
        "thesis, times",
        "image AUROC, full",
        "diagonal",
        "pixel AUROC, full",
        "diagonal",
    )
    note = "Processor seconds of the fit on features at hand, one thread."
    return Table("table_8_1", "Table 8.1: PaDiM's fit", head, tuple(body), note) if body else None


def _costs(clean: Sequence[Summary]) -> Table | None:
    shown: dict[str, tuple[str, Callable[[float], str]]] = {
        "fit_seconds": ("fit, s", lambda v: f"{v:.2f}"),
        "fit_peak_bytes": ("fit, memory", lambda v: show_bytes(round(v))),
        "infer_seconds": ("detector, ms", lambda v: f"{1000 * v:.2f}"),
        "backbone_seconds": ("backbone, ms", lambda v: f"{1000 * v:.1f}"),
        "model_bytes": ("detector", lambda v: show_bytes(round(v))),
        "backbone_bytes": ("backbone", lambda v: show_bytes(round(v))),
        "flash_bytes": ("flash", lambda v: show_bytes(round(v))),
        "ram_bytes": ("RAM", lambda v: show_bytes(round(v))),
        "instructions": ("instructions", lambda v: show_count(round(v))),
    }
    body = [
        (
            s.cell.category,
            _backbone(s.cell),
            s.cell.detector,
            s.cell.board or "-",
            show(s.figures.get("image_auroc")),
            *(
                write(s.figures[name].mean) if name in s.figures else "-"
                for name, (_, write) in shown.items()
            ),
        )
        for s in clean
    ]
    names = (head for head, _ in shown.values())
    head = ("category", "backbone", "detector", "board", "image AUROC", *names)
    note = (
        "Means over seeds. Seconds are the processor's, on the computer that ran the study; memory "
        "is what the fit added to the process. Flash, RAM and instructions are of one picture on "
        "the board, for integer detectors."
    )
    return Table("costs", "Costs", head, tuple(body), note) if body else None
