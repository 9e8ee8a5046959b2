"""Plots as PNG files, each with its numbers as CSV beside it. Needs matplotlib."""

from __future__ import annotations

import csv
import math
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


@dataclass(frozen=True)
class Bars:
    """One kind of bar in each group.

    Attributes:
        name: for the legend.
        values: a bar a group; None leaves a gap.
        errors: half the length of a bar's whisker; None without.
    """

    name: str
    values: tuple[float | None, ...]
    errors: tuple[float | None, ...]


@dataclass(frozen=True)
class Panel:
    """Groups of bars under a title.

    Attributes:
        title: what the bars are long for.
        groups: names below the bars.
        bars: of each group, in order.
        is_share: whether the axis ends at 1.
    """

    title: str
    groups: tuple[str, ...]
    bars: tuple[Bars, ...]
    is_share: bool = True


@dataclass(frozen=True)
class BarPlot:
    """Panels of bars with one legend; `name`, `title` and `text` as of `Plot`."""

    name: str
    title: str
    text: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Point:
    """One point of a scatter plot: its name, the kind that colours it, its place."""

    name: str
    kind: str
    x: float
    y: float


@dataclass(frozen=True)
class Scatter:
    """Points, and a line through those that no other beats: less x and more y is better.

    Attributes:
        x_label: of the axis, logarithmic when x spans much.
        points: the points.
        x_unit: as of `Plot`.
    """

    x_label: str
    points: tuple[Point, ...]
    x_unit: str = ""

    def front(self) -> tuple[Point, ...]:
        """The points that none is better than, by rising x."""
        best: list[Point] = []
        for point in sorted(self.points, key=lambda p: (p.x, -p.y)):
            if not best or point.y > best[-1].y:
                best.append(point)
        return tuple(best)


@dataclass(frozen=True)
class ScatterPlot:
    """Panels of points with one y axis and one legend; the texts are as of `Plot`."""

    name: str
    title: str
    text: str
    y_label: str
    panels: tuple[Scatter, ...]


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


def write_bars(plot: BarPlot, folder: Path) -> tuple[Path, Path]:
    """Writes `<name>.png` and `<name>.csv` (one line a bar: panel, group, bar, value, error)."""
    check_drawing()
    numbers = folder / f"{plot.name}.csv"
    with numbers.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["panel", "group", "bar", "value", "error"])
        for panel in plot.panels:
            for bars in panel.bars:
                for row in zip(panel.groups, bars.values, bars.errors, strict=True):
                    writer.writerow([panel.title, row[0], bars.name, *row[1:]])
    figure, grid = _figure(plot.title, plot.text, len(plot.panels))
    for axes, panel in zip(grid, plot.panels, strict=True):
        _draw_bars(axes, panel)
    handles, names = grid[0].get_legend_handles_labels()
    columns = max(1, min(4, 110 // max(len(name) + 6 for name in names)))
    figure.legend(
        handles, names, loc="outside lower left", ncols=columns, fontsize=9, frameon=False
    )
    picture = folder / f"{plot.name}.png"
    figure.savefig(picture, metadata={"Software": None})
    return picture, numbers


def write_scatter(plot: ScatterPlot, folder: Path) -> tuple[Path, Path]:
    """Writes `<name>.png` and `<name>.csv` (one line a point: panel, kind, name, x, y, front)."""
    check_drawing()
    numbers = folder / f"{plot.name}.csv"
    with numbers.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["panel", "kind", "name", "x", plot.y_label, "front"])
        for panel in plot.panels:
            front = panel.front()
            writer.writerows(
                [panel.x_label, p.kind, p.name, p.x, p.y, int(p in front)] for p in panel.points
            )
    figure, grid = _figure(plot.title, plot.text, len(plot.panels))
    kinds = tuple(dict.fromkeys(p.kind for panel in plot.panels for p in panel.points))
    for axes, panel in zip(grid, plot.panels, strict=True):
        _draw_points(axes, panel, kinds)
        axes.set_ylabel(plot.y_label, color=_INK)
    handles, names = grid[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower left", ncols=4, fontsize=9, frameon=False)
    picture = folder / f"{plot.name}.png"
    figure.savefig(picture, metadata={"Software": None})
    return picture, numbers


def _draw_points(axes: Any, panel: Scatter, kinds: tuple[str, ...]) -> None:
    from matplotlib.ticker import MultipleLocator

    front = panel.front()
    axes.plot([p.x for p in front], [p.y for p in front], color=_SOFT, linewidth=1, zorder=1)
    for i, kind in enumerate(kinds):
        points = [p for p in panel.points if p.kind == kind]
        axes.scatter(
            [p.x for p in points],
            [p.y for p in points],
            label=kind,
            color=_COLOURS[i % len(_COLOURS)],
            marker=_MARKS[i % len(_MARKS)],
            s=42,
            zorder=2,
        )
    for i, point in enumerate(front):
        text = axes.annotate(
            point.name,
            (point.x, point.y),
            xytext=(0, 7 if i % 2 else -13),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=_INK,
        )
        text.set_in_layout(False)
    least, most = (f(p.x for p in panel.points) for f in (min, max))
    axes.set_xlabel(panel.x_label, color=_INK)
    _scale(axes.xaxis, axes.set_xscale, most > 8 * least, panel.x_unit, ())
    if panel.x_unit == "bytes" and least < most <= 8 * least:
        axes.xaxis.set_major_locator(MultipleLocator(2 ** math.ceil(math.log2((most - least) / 4))))
    axes.grid(color=_LINE, linewidth=0.8)
    axes.margins(x=0.2, y=0.14)


def _figure(title: str, text: str, panels: int) -> tuple[Any, list[Any]]:
    """A figure with its title, and axes for one to many panels, two in a row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns = -(-panels // 2), min(panels, 2)
    figure = Figure(
        figsize=(8 if columns == 1 else 12, 5 if rows == 1 else 3.4 * rows + 1),
        dpi=130,
        layout="constrained",
    )
    FigureCanvasAgg(figure)
    heading = f"{title}\n"
    figure.suptitle(heading, x=0.02, ha="left", fontsize=13, fontweight="bold", color=_INK)
    figure.text(0.02, 0.965 if rows > 1 else 0.945, text, va="top", fontsize=9, color=_SOFT)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[panels:]:
        axes.remove()
    for axes in grid[:panels]:
        axes.tick_params(colors=_SOFT, labelsize=9)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(_LINE)
    return figure, grid[:panels]


def _draw_bars(axes: Any, panel: Panel) -> None:
    width = 0.84 / len(panel.bars)
    for i, bars in enumerate(panel.bars):
        places = [g + (i - (len(panel.bars) - 1) / 2) * width for g in range(len(panel.groups))]
        axes.bar(
            places,
            [value or 0 for value in bars.values],
            width * 0.92,
            yerr=[error or 0 for error in bars.errors] if any(bars.errors) else None,
            error_kw={"elinewidth": 1, "ecolor": _INK},
            label=bars.name,
            color=_COLOURS[i % len(_COLOURS)],
            hatch="//" if i >= len(_COLOURS) else None,
        )
    axes.set_title(panel.title, loc="left", fontsize=10, color=_INK)
    axes.set_xticks(range(len(panel.groups)), panel.groups)
    if sum(map(len, panel.groups)) > 60:
        axes.tick_params(axis="x", rotation=60)
    axes.grid(axis="y", color=_LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    if panel.is_share:
        axes.set_ylim(0, 1.02)


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
