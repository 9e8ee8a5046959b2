"""Plots as PNG files, each with its numbers as CSV beside it. Needs matplotlib."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vadgen.errors import Exit, VadgenError
from vadgen.units import show_bytes, show_count

_COLOURS = ("#3b6fc4", "#2a9d8f", "#c25577", "#d08a2e", "#8a63c9", "#6b8e23", "#5b6470", "#1b1f24")
_MARKS = "osD^vPX*"
_INK, _SOFT, _LINE = "#1b1f24", "#5b6470", "#dfe3e8"


@dataclass(frozen=True)
class Line:
    """One line of a plot.

    Attributes:
        name: for the legend.
        x, y: its points.
        is_dashed: for what the others are held against.
        colour: number of its colour; None is its place among the lines.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    is_dashed: bool = False
    colour: int | None = None


@dataclass(frozen=True)
class Plot:
    """One plot.

    Attributes:
        name: stem of its files.
        title: what is seen, a sentence.
        text: how it was made, a sentence.
        x_label, y_label: axes.
        lines: drawn in order.
        x_log, y_log: whether the axes are logarithmic.
        x_unit, y_unit: how the axes' numbers are written: "" as they are, "bytes" or "count".
    """

    name: str
    title: str
    text: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    x_log: bool = False
    y_log: bool = False
    x_unit: str = ""
    y_unit: str = ""


def check_drawing() -> None:
    """Whether plots can be drawn at all.

    Raises:
        VadgenError: TOOL_MISSING, without matplotlib.
    """
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        raise VadgenError(
            "the plots need the Python package 'matplotlib', which is not installed",
            "pip install 'vadgen[study]' brings it; in a checkout: make setup",
            Exit.TOOL_MISSING,
        ) from None


def write_plot(plot: Plot, folder: Path) -> tuple[Path, Path]:
    """Writes `<name>.png` and `<name>.csv` (one line a point: line, x, y)."""
    check_drawing()
    numbers = folder / f"{plot.name}.csv"
    with numbers.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["line", plot.x_label, plot.y_label])
        for line in plot.lines:
            writer.writerows([line.name, x, y] for x, y in zip(line.x, line.y, strict=True))
    picture = folder / f"{plot.name}.png"
    _draw(plot, picture)
    return picture, numbers


def _draw(plot: Plot, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for i, line in enumerate(plot.lines):
        look = i if line.colour is None else line.colour
        axes.plot(
            line.x,
            line.y,
            label=line.name,
            color=_COLOURS[look % len(_COLOURS)],
            marker=_MARKS[look % len(_MARKS)],
            markersize=5,
            linewidth=1.8,
            linestyle="--" if line.is_dashed else "-",
        )
    figure.suptitle(plot.title, x=0.02, ha="left", fontsize=13, fontweight="bold", color=_INK)
    axes.set_title(plot.text, loc="left", fontsize=9, color=_SOFT, wrap=True)
    axes.set_xlabel(plot.x_label, color=_INK)
    axes.set_ylabel(plot.y_label, color=_INK)
    ticks = tuple(sorted({x for line in plot.lines for x in line.x}))
    _scale(axes.xaxis, axes.set_xscale, plot.x_log, plot.x_unit, ticks if not plot.x_unit else ())
    _scale(axes.yaxis, axes.set_yscale, plot.y_log, plot.y_unit, ())
    axes.grid(color=_LINE, linewidth=0.8)
    axes.tick_params(colors=_SOFT, labelsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_LINE)
    columns = 2 if max(len(line.name) for line in plot.lines) > 24 else 5
    figure.legend(loc="outside lower left", ncols=columns, fontsize=9, frameon=False)
    figure.savefig(path, metadata={"Software": None})


def _scale(
    axis: Any, set_scale: Callable[..., None], is_log: bool, unit: str, ticks: tuple[float, ...]
) -> None:
    """Sets scale and texts; `ticks` are those of a logarithmic axis when they are few."""
    from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

    shows: dict[str, Callable[[int], str]] = {"bytes": show_bytes, "count": show_count}
    if is_log:
        set_scale("log", base=2 if unit == "bytes" else 10)
        axis.set_minor_formatter(NullFormatter())
        if 0 < len(ticks) <= 10:
            axis.set_ticks(ticks)
            axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    if unit:
        show = shows[unit]
        axis.set_major_formatter(FuncFormatter(lambda value, _: show(round(value))))
