"""Rows brought together: means and spreads over seeds, the thesis's tables, CSV and Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from vadgen.benchmark.cell import FIGURES, Cell, Costs, Row

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
        contamination: mean share of anomalous training pictures, and of their defect pixels.
        guard_auroc: how well the guard ranks planted anomalies, mean over seeds.
    """

    cell: Cell
    keys: tuple[str, ...]
    figures: dict[str, Spread]
    impossible: str
    ratio: float | None
    pixels: float | None
    guard_auroc: float | None

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
        _mean([row.suspects.auroc for row in done]),
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
