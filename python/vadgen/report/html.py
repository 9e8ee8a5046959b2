"""report.html: one file a customer can open, print and keep; it asks nothing of a network.

`ReportData` holds the facts, `render_report` lays them out. Numbers are turned into text and into
positions here; the template only places them. Same data, same bytes.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from vadgen import paths
from vadgen.report.heatmap import STOPS
from vadgen.units import show_bytes, show_count

Role = Literal["train", "held_out", "good", "defect"]
Runner = Literal["tflm", "host", "emulator", "board"]

_RUNNERS: dict[Runner, str] = {
    "tflm": "TFLM interpreter",
    "host": "C on this computer",
    "emulator": "C on the emulated chip",
    "board": "C on the board",
}
_ROLES: dict[Role, tuple[str, str]] = {
    "train": ("train", "fitted on"),
    "held_out": ("held_out", "good, sets the threshold"),
    "good": ("good-group", "good, test"),
    "defect": ("defect", "defect, test"),
}
"""Class of the style sheet and legend of each role."""
_N_BINS = 60
_LOG_FROM = 12.0
_MOST_FUNCTIONS = 24


@dataclass(frozen=True)
class Picture:
    """One picture, shown beside its heat map.

    Attributes:
        name: file name, for people to find it.
        kind: "good", or the kind of its defect.
        is_defect: what the label says; None without labels.
        score: integer score.
        is_anomalous: the decision of the shipped model.
        photo: PNG file of the picture, a labelled defect in it with `heatmap.outline`.
        map: PNG file of the picture with `heatmap.overlay`.
    """

    name: str
    kind: str
    is_defect: bool | None
    score: int
    is_anomalous: bool
    photo: bytes
    map: bytes


@dataclass(frozen=True)
class Gallery:
    """Pictures under one title, with a sentence that says how they were picked."""

    title: str
    text: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class ScoreGroup:
    """Scores of the pictures of one kind.

    Attributes:
        name: as in "good, held out" or "scratch".
        role: train: the model was fitted on them; held_out: the threshold was set on them; good
            and defect: labelled test pictures.
        scores: integer scores in any order.
    """

    name: str
    role: Role
    scores: tuple[int, ...]


@dataclass(frozen=True)
class Threshold:
    """A picture whose score is above `value` is called a defect.

    Attributes:
        value: integer, on the scale of the scores.
        alpha: greatest share of good pictures that it may flag, as was asked for.
        normals: held-out good pictures that it was set from.
    """

    value: int
    alpha: float
    normals: int


@dataclass(frozen=True)
class Part:
    """Bytes of one part of the firmware."""

    name: str
    size: int


@dataclass(frozen=True)
class Memory:
    """Flash or RAM by part; `budget` is the board's, None without one."""

    name: str
    budget: int | None
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class BankSize:
    """Bytes of a memory bank of `rows` rows, on the device and as other programs hold it.

    Attributes:
        rows: N.
        candidates: K of the two-phase search; None for another.
        flash: codes and codebook.
        ram: the detector's state over one image.
        floats: the same rows as float32.
        python_floats: Python's objects that search those rows.
        python: Python's objects that search the quantized bank.
    """

    rows: int
    candidates: int | None
    flash: tuple[Part, ...]
    ram: tuple[Part, ...]
    floats: int
    python_floats: int
    python: int


@dataclass(frozen=True)
class Bank:
    """The memory bank of the firmware, and what others like it would take."""

    title: str
    own: BankSize
    others: tuple[BankSize, ...]


@dataclass(frozen=True)
class Work:
    """Instructions of one step of one inference.

    Attributes:
        name: as in "12 CONV_2D".
        kind: what steps are summed by, as in "CONV_2D 1x1".
        part: "backbone" or "detector".
        instructions: how many it takes.
    """

    name: str
    kind: str
    part: Literal["backbone", "detector"]
    instructions: int


@dataclass(frozen=True)
class Instructions:
    """Where the instructions of one inference go.

    Attributes:
        works: by step.
        functions: by function of the firmware, most first.
        machine: names emulator and compiler.
        search: those of the detector's search once more, by what they do; () without a bank.
    """

    works: tuple[Work, ...]
    functions: Mapping[str, int]
    machine: str
    search: tuple[Work, ...] = ()


@dataclass(frozen=True)
class ParityRow:
    """One thing that is compared; `states` by runner: same, differs, or None when not compared."""

    what: str
    states: tuple[bool | None, ...]


@dataclass(frozen=True)
class Parity:
    """The comparison with the numpy reference.

    Attributes:
        runners: what was compared with it.
        rows: taps, cells, score, decision.
        images: how many pictures.
        n_bytes: bytes compared for each runner.
    """

    runners: tuple[Runner, ...]
    rows: tuple[ParityRow, ...]
    images: int
    n_bytes: int


@dataclass(frozen=True)
class Metrics:
    """Figures on labelled test pictures, each from 0 to 1; None when it could not be had.

    `image_f1` and `pixel_f1` are those of the best threshold the labels allow (oracle); `recall`
    and `false_positive_rate` are those of the shipped threshold.
    """

    image_auroc: float | None = None
    pixel_auroc: float | None = None
    aupro: float | None = None
    image_f1: float | None = None
    pixel_f1: float | None = None
    recall: float | None = None
    false_positive_rate: float | None = None


@dataclass(frozen=True)
class Fact:
    """One line of the provenance: a version, a seed or a digest."""

    name: str
    value: str


@dataclass(frozen=True)
class Weighed:
    """A memory bank that was weighed.

    Attributes:
        name: its kind, as in "adc 44x4, rotated": 44 codes of 4 bits.
        rows: N.
        size: bytes of codes, codebooks and look-up tables.
        instructions: estimate of the search for one picture.
        noise: error of its distances over their spread.
        painted_auroc: of painted defects.
    """

    name: str
    rows: int
    size: int
    instructions: int
    noise: float
    painted_auroc: float


@dataclass(frozen=True)
class Runtime:
    """The same model on one runtime; None where it was not measured.

    Attributes:
        name: as in "TensorFlow Lite Micro".
        flash, ram: bytes of the firmware.
        arena: of that RAM, what holds the tensors.
        instructions: of one picture.
        by: those by what they do: set-up, network, detector.
    """

    name: str
    flash: int | None
    ram: int | None
    arena: int
    instructions: int | None
    by: Mapping[str, int]


@dataclass(frozen=True)
class ReportData:
    """Everything that the report says.

    Attributes:
        title: the part that is inspected, as in "transistor".
        board: id of the board.
        board_title: its line for people.
        backbone: network, as in "efficientnet_lite0".
        detector: as in "PaDiM, diagonal".
        input: as in "128 x 128".
        threshold: what the decision is made with.
        groups: scores by kind.
        galleries: pictures worth a look, best and worst.
        flash: what the firmware takes.
        ram: what it takes.
        bank: the detector's memory bank; None without one.
        instructions: of one inference; None when they were not counted.
        parity: the comparison of all runs.
        metrics_float: of the float model; None without labels.
        metrics_int8: of the shipped integer model; None without labels.
        needs_tool: why the firmware was not compiled here, or None.
        notes: remarks, one sentence each.
        recipe_toml: the recipe, to build the same again.
        provenance: versions, seed, digests.
        weighed: PatchCore's memory banks that were weighed, the chosen one first.
        memory_notes: sentences below flash and RAM.
        runtimes: what the model takes on each; () with vadgen's own alone.
    """

    title: str
    board: str
    board_title: str
    backbone: str
    detector: str
    input: str
    threshold: Threshold
    groups: tuple[ScoreGroup, ...]
    galleries: tuple[Gallery, ...]
    flash: Memory
    ram: Memory
    bank: Bank | None
    instructions: Instructions | None
    parity: Parity
    metrics_float: Metrics | None
    metrics_int8: Metrics | None
    needs_tool: str | None
    notes: tuple[str, ...]
    recipe_toml: str
    provenance: tuple[Fact, ...]
    weighed: tuple[Weighed, ...] = ()
    memory_notes: tuple[str, ...] = ()
    runtimes: tuple[Runtime, ...] = ()


# --- what the template places ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Verdict:
    level: Literal["good", "warn", "bad"]
    title: str
    text: str


@dataclass(frozen=True)
class _Tile:
    label: str
    value: str
    text: str


@dataclass(frozen=True)
class _Bar:
    """A bar of a histogram in percent of its row; `is_wrong` when it is a wrong decision."""

    left: str
    width: str
    height: str
    is_wrong: bool


@dataclass(frozen=True)
class _HistogramRow:
    name: str
    role: Role
    bars: tuple[_Bar, ...]
    result: str


@dataclass(frozen=True)
class _Tick:
    left: str
    text: str


@dataclass(frozen=True)
class _Histogram:
    rows: tuple[_HistogramRow, ...]
    roles: tuple[tuple[str, str], ...]
    ticks: tuple[_Tick, ...]
    threshold_left: str
    side: str
    is_log: bool
    has_wrong: bool


@dataclass(frozen=True)
class _Segment:
    """A piece of a memory bar; `tint` numbers its colour."""

    name: str
    size: str
    exact: str
    width: str
    share: str
    tint: int


@dataclass(frozen=True)
class _MemoryBar:
    name: str
    used: str
    exact: str
    budget: str | None
    share: str | None
    excess: str | None
    segments: tuple[_Segment, ...]


@dataclass(frozen=True)
class _BankBar:
    """One way to hold the bank; `width` in percent of the largest."""

    name: str
    text: str
    size: str
    times: str
    width: str


@dataclass(frozen=True)
class _BankRow:
    cells: tuple[str, ...]
    is_own: bool


@dataclass(frozen=True)
class _BankSection:
    title: str
    bars: tuple[_BankBar, ...]
    memories: tuple[_MemoryBar, ...]
    head: tuple[str, ...]
    rows: tuple[_BankRow, ...]


@dataclass(frozen=True)
class _WorkBar:
    name: str
    part: str
    count: str
    share: str
    width: str


@dataclass(frozen=True)
class _Effort:
    total: str
    parts: tuple[_WorkBar, ...]
    kinds: tuple[_WorkBar, ...]
    steps: tuple[_WorkBar, ...]
    search: tuple[_WorkBar, ...]
    ruling: str
    functions: tuple[_WorkBar, ...]
    machine: str


@dataclass(frozen=True)
class _MetricRow:
    name: str
    text: str
    values: tuple[str, ...]
    change: str


@dataclass(frozen=True)
class _MetricGroup:
    title: str
    rows: tuple[_MetricRow, ...]


@dataclass(frozen=True)
class _ParityCell:
    text: str
    level: Literal["same", "differs", "soft"]


@dataclass(frozen=True)
class _ParityRow:
    what: str
    cells: tuple[_ParityCell, ...]


@dataclass(frozen=True)
class _Card:
    name: str
    kind: str
    score: str
    chip: str
    level: Literal["good", "bad", "plain"]
    photo: str
    map: str


@dataclass(frozen=True)
class _CardGallery:
    title: str
    text: str
    cards: tuple[_Card, ...]


def _number(value: float) -> str:
    """A length or position for the page, in percent, with no more digits than can be seen."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _percent(part: float, whole: float) -> str:
    share = 100.0 * part / whole if whole else 0.0
    return f"{share:.1f} %" if 0 < share < 10 else f"{share:.0f} %"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _change(value: float) -> str:
    text = f"{value:+.3f}"
    return "0" if float(text) == 0 else text.replace("-", "−")


def _sum(memory: Memory) -> int:
    return sum(part.size for part in memory.parts)


def _is_over(memory: Memory) -> bool:
    return memory.budget is not None and _sum(memory) > memory.budget


def _verdict(data: ReportData) -> _Verdict:
    runs = dict(
        zip(
            data.parity.runners,
            zip(*(r.states for r in data.parity.rows), strict=True),
            strict=True,
        )
    )
    differing = [_RUNNERS[runner] for runner, states in runs.items() if False in states]
    compared = [_RUNNERS[r] for r, states in runs.items() if True in states and r != "tflm"]
    where = " and ".join(compared) or "no other run"
    same = (
        f"{data.parity.images} pictures give the same bytes in the numpy reference and in {where}: "
        "every feature, every cell, the score and the decision."
    )
    on_board = True in runs.get("board", ())
    hardware = "" if on_board else " It has not run on a physical board yet."
    if differing:
        return _Verdict(
            "bad",
            "Do not use this firmware",
            f"These do not give the numpy reference's bytes: {' and '.join(differing)}.",
        )
    over = [m for m in (data.flash, data.ram) if _is_over(m)]
    if over:
        return _Verdict(
            "bad",
            "It does not fit the board",
            " and ".join(f"{m.name} is {_sum(m) - (m.budget or 0):,} bytes short" for m in over)
            + ".",
        )
    if data.needs_tool:
        return _Verdict(
            "warn",
            "Ready to be compiled",
            f"{same}{hardware} The firmware project is complete. {data.needs_tool}",
        )
    if not any(runner in runs and True in runs[runner] for runner in ("emulator", "board")):
        return _Verdict("warn", "Checked on this computer only", same + hardware)
    return _Verdict("good", "Built, and the same to the last byte", same + hardware)


def _tiles(data: ReportData) -> list[_Tile]:
    tiles = []
    metrics = data.metrics_int8
    if metrics is not None and metrics.image_auroc is not None:
        tiles.append(_Tile("Image AUROC", f"{metrics.image_auroc:.3f}", "0.5 is chance"))
    defects = [g for g in data.groups if g.role == "defect"]
    good = [g for g in data.groups if g.role == "good"]
    if defects:
        found, n = _flagged(defects, data.threshold)
        tiles.append(_Tile("Defects found", f"{found} of {n}", "test pictures"))
    if good:
        false, n = _flagged(good, data.threshold)
        tiles.append(_Tile("False alarms", f"{false} of {n}", "good test pictures"))
    for memory in (data.flash, data.ram):
        used = _sum(memory)
        if memory.budget:
            value = _percent(used, memory.budget)
            text = f"{show_bytes(used)} of {show_bytes(memory.budget)}"
        else:
            value, text = show_bytes(used), "no budget"
        tiles.append(_Tile(memory.name, value, text))
    if data.instructions is not None:
        total = sum(work.instructions for work in data.instructions.works)
        tiles.append(_Tile("One picture", show_count(total), "instructions"))
    return tiles


def _flagged(groups: Sequence[ScoreGroup], threshold: Threshold) -> tuple[int, int]:
    scores = [score for group in groups for score in group.scores]
    return sum(score > threshold.value for score in scores), len(scores)


def _result(group: ScoreGroup, threshold: Threshold) -> str:
    flagged, n = _flagged([group], threshold)
    return f"{flagged} of {n} {'found' if group.role == 'defect' else 'flagged'}"


def _nice_step(span: float, n_most: int) -> float:
    """The smallest of 1, 2, 5, 10, ... that divides the span into at most `n_most`."""
    step = 10.0 ** math.floor(math.log10(max(span, 1e-9) / n_most))
    return next(step * m for m in (1, 2, 5, 10, 20) if span / (step * m) <= n_most)


def _histogram(groups: Sequence[ScoreGroup], threshold: Threshold) -> _Histogram:
    """Bins of equal width that have an edge at the threshold; closed on the right, as it is."""
    scores = [score for group in groups for score in group.scores] or [threshold.value]
    is_log = max(scores) > _LOG_FROM * max(threshold.value, 1)

    def at(score: float) -> float:
        return math.log10(max(score, 1.0)) if is_log else float(score)

    mark = at(threshold.value)
    low, high = min(at(min(scores)), mark), max(at(max(scores)), mark)
    width = max((high - low) / (_N_BINS - 4), 1e-9)
    first = mark - width * (math.ceil((mark - low) / width) + 1)
    n_bins = math.ceil((high - first) / width) + 1
    span = n_bins * width

    def left(score: float) -> float:
        return 100.0 * (at(score) - first) / span

    rows = []
    for group in groups:
        counts = [0] * n_bins
        for score in group.scores:
            above = score > threshold.value
            bin_of = math.ceil((at(score) - mark) / width - 1e-9)
            bin_of = max(bin_of, 1) if above else min(bin_of, 0)
            counts[bin_of - 1 + round((mark - first) / width)] += 1
        most = max(counts, default=0)
        bars = tuple(
            _Bar(
                left=_number(100.0 * i / n_bins),
                width=_number(100.0 / n_bins),
                height=_number(max(100.0 * n / most, 6.0)),
                is_wrong=(first + (i + 0.5) * width > mark) != (group.role == "defect"),
            )
            for i, n in enumerate(counts)
            if n
        )
        rows.append(_HistogramRow(group.name, group.role, bars, _result(group, threshold)))
    ticks = tuple(
        _Tick(_number(left(value)), _tick(value))
        for value in _tick_values(first, first + span, is_log)
        if 2.0 <= left(value) <= 97.0
    )
    present = {group.role for group in groups}
    roles = tuple(look for role, look in _ROLES.items() if role in present)
    at_threshold = left(threshold.value)
    side = "at-left" if at_threshold < 15.0 else "at-right" if at_threshold > 85.0 else ""
    has_wrong = any(bar.is_wrong for row in rows for bar in row.bars)
    return _Histogram(tuple(rows), roles, ticks, _number(at_threshold), side, is_log, has_wrong)


def _tick(value: float) -> str:
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _tick_values(low: float, high: float, is_log: bool) -> list[float]:
    if is_log:
        powers = range(math.floor(low), math.ceil(high) + 1)
        every = (1, 3) if high - low < 3 else (1,)
        return [m * 10.0**power for power in powers for m in every]
    step = _nice_step(high - low, 6)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1) if i >= 0]


def _memory(memory: Memory) -> _MemoryBar:
    used = _sum(memory)
    whole = max(used, memory.budget or 0, 1)
    segments = tuple(
        _Segment(
            part.name,
            show_bytes(part.size),
            f"{part.size:,}",
            _number(100.0 * part.size / whole),
            _percent(part.size, used),
            i % 8,
        )
        for i, part in enumerate(memory.parts)
        if part.size
    )
    budget, share, excess = None, None, None
    if memory.budget is not None:
        budget, share = show_bytes(memory.budget), _percent(used, memory.budget)
        excess = f"{used - memory.budget:,} bytes too many" if _is_over(memory) else None
    return _MemoryBar(memory.name, show_bytes(used), f"{used:,}", budget, share, excess, segments)


def _runtime_rows(runtimes: Sequence[Runtime]) -> list[tuple[str, tuple[str, ...]]]:
    """A line of the table of runtimes: its name and a cell each."""

    def cells(values: Iterable[int | None], show: Callable[[int], str]) -> tuple[str, ...]:
        return tuple("-" if value is None else show(value) for value in values)

    parts = dict.fromkeys(part for runtime in runtimes for part in runtime.by)
    return [
        ("flash", cells((r.flash for r in runtimes), show_bytes)),
        ("RAM", cells((r.ram for r in runtimes), show_bytes)),
        ("of it, the arena", cells((r.arena for r in runtimes), show_bytes)),
        ("instructions", cells((r.instructions for r in runtimes), show_count)),
        *((part, cells((r.by.get(part) for r in runtimes), show_count)) for part in parts),
    ]


def _total(parts: Sequence[Part]) -> int:
    return sum(part.size for part in parts)


def _bank(bank: Bank) -> _BankSection:
    own = bank.own
    flash = _total(own.flash)
    sizes = (
        ("On the device", "flash: codes and codebook", flash),
        ("As float32", "the same rows, unquantized", own.floats),
        ("In Python, float32", "objects that search those rows", own.python_floats),
        ("In Python, quantized", "objects that search the codes", own.python),
    )
    most = max(size for _, _, size in sizes)
    bars = tuple(
        _BankBar(name, text, show_bytes(size), f"{size / flash:.1f} x", _number(100 * size / most))
        for name, text, size in sizes
    )
    memories = (
        _memory(Memory("Flash of the bank", None, own.flash)),
        _memory(Memory("RAM of the detector", None, own.ram)),
    )
    head = ("rows", *(("candidates",) if own.candidates is not None else ()))
    head += (*(part.name for part in own.flash), "RAM", "as float32", "in Python")
    rows = tuple(
        _BankRow(
            (
                f"{size.rows:,}",
                *((f"{size.candidates:,}",) if size.candidates is not None else ()),
                *(show_bytes(part.size) for part in size.flash),
                show_bytes(_total(size.ram)),
                show_bytes(size.floats),
                show_bytes(size.python),
            ),
            size == own,
        )
        for size in bank.others
    )
    return _BankSection(bank.title, bars, memories, head, rows)


def _functions(counts: Mapping[str, int]) -> list[tuple[str, str, int]]:
    """The largest, and the others in one."""
    named = [(name, "function", n) for name, n in counts.items()]
    others = sum(n for _, _, n in named[_MOST_FUNCTIONS:])
    if others:
        named[_MOST_FUNCTIONS:] = [("all others", "function", others)]
    return named


def _effort(instructions: Instructions) -> _Effort:
    works = instructions.works
    total = sum(work.instructions for work in works)

    def bars(sums: Sequence[tuple[str, str, int]]) -> tuple[_WorkBar, ...]:
        most = max((n for _, _, n in sums), default=1) or 1
        return tuple(
            _WorkBar(name, part, show_count(n), _percent(n, total), _number(100.0 * n / most))
            for name, part, n in sums
        )

    parts: dict[str, int] = {}
    kinds: dict[tuple[str, str], int] = {}
    for work in works:
        parts[work.part] = parts.get(work.part, 0) + work.instructions
        kinds[work.kind, work.part] = kinds.get((work.kind, work.part), 0) + work.instructions
    return _Effort(
        show_count(total),
        bars([(part, part, n) for part, n in parts.items()]),
        bars(sorted(((*key, n) for key, n in kinds.items()), key=lambda bar: (-bar[2], bar[0]))),
        bars([(work.name, work.part, work.instructions) for work in works]),
        bars([(work.name, work.part, work.instructions) for work in instructions.search]),
        max(instructions.search, key=lambda w: w.instructions).name if instructions.search else "",
        bars(_functions(instructions.functions)),
        instructions.machine,
    )


_METRIC_GROUPS = (
    (
        "Ranking, no threshold involved",
        (
            ("image_auroc", "Image AUROC", "a defect scores above a good picture"),
            ("pixel_auroc", "Pixel AUROC", "a defective pixel scores above a good one"),
            ("aupro", "AUPRO", "regions covered, up to 30 % false-positive pixels"),
        ),
    ),
    (
        "At the shipped threshold, set from good pictures alone",
        (
            ("recall", "Defects found", "share of the defects that are flagged"),
            ("false_positive_rate", "False alarms", "share of the good pictures that are flagged"),
        ),
    ),
    (
        "Oracle: at the best threshold the test labels allow, which nobody has in advance",
        (
            ("image_f1", "Image F1-max", "not what the device does"),
            ("pixel_f1", "Pixel F1-max", "not what the device does"),
        ),
    ),
)


def _metric_groups(data: ReportData) -> list[_MetricGroup]:
    models = (data.metrics_float or Metrics(), data.metrics_int8 or Metrics())
    groups = []
    for title, rows in _METRIC_GROUPS:
        shown = []
        for key, name, text in rows:
            values: list[float | None] = [getattr(model, key) for model in models]
            if values == [None, None]:
                continue
            float_value, int8_value = values
            change = "–"
            if float_value is not None and int8_value is not None:
                change = _change(int8_value - float_value)
            shown.append(_MetricRow(name, text, tuple(map(_figure, values)), change))
        if shown:
            groups.append(_MetricGroup(title, tuple(shown)))
    return groups


def _parity_rows(parity: Parity) -> list[_ParityRow]:
    """What was not compared is told from what was not run at all."""
    ran = [
        any(row.states[i] is not None for row in parity.rows) for i in range(len(parity.runners))
    ]

    def cell(state: bool | None, i: int) -> _ParityCell:
        if state is None:
            return _ParityCell("–" if ran[i] else "not run", "soft")
        return _ParityCell("same", "same") if state else _ParityCell("differs", "differs")

    return [
        _ParityRow(row.what, tuple(cell(state, i) for i, state in enumerate(row.states)))
        for row in parity.rows
    ]


def _code(text: str) -> Markup:
    """The text with what stands in backticks set as code."""
    pieces = (
        Markup("<code>{}</code>").format(piece) if i % 2 else escape(piece)
        for i, piece in enumerate(text.split("`"))
    )
    return Markup("").join(pieces)


def _source(image: bytes) -> str:
    """The image as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(image).decode("ascii")


def _chip(picture: Picture) -> tuple[str, Literal["good", "bad", "plain"]]:
    """The decision in a word, and whether it was right."""
    if picture.is_defect is None:
        return ("flagged" if picture.is_anomalous else "passed"), "plain"
    if picture.is_defect:
        return ("found", "good") if picture.is_anomalous else ("missed", "bad")
    return ("false alarm", "bad") if picture.is_anomalous else ("passed", "good")


def _card(picture: Picture) -> _Card:
    chip, level = _chip(picture)
    return _Card(
        name=picture.name,
        kind=picture.kind,
        score=f"{picture.score:,}",
        chip=chip,
        level=level,
        photo=_source(picture.photo),
        map=_source(picture.map),
    )


def _ramp() -> str:
    """The colours of the heat map as a CSS gradient, from 0 to the last stop."""
    last = STOPS[-1][0]
    return ", ".join(
        f"rgba({red}, {green}, {blue}, {opacity:g}) {_number(100.0 * at / last)}%"
        for at, (red, green, blue), opacity in STOPS
    )


def environment() -> Environment:
    """What reads the templates of pages; all text is escaped."""
    return Environment(
        loader=FileSystemLoader(paths.templates()),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render_report(data: ReportData) -> str:
    """The whole page: HTML with its styles and pictures inside, no script, no address.

    Args:
        data: what it says.

    Returns:
        The text of report.html.
    """
    made = environment()
    made.filters["code"] = _code
    last = STOPS[-1][0]
    return made.get_template("report.html.j2").render(
        data=data,
        verdict=_verdict(data),
        tiles=_tiles(data),
        threshold=f"{data.threshold.value:,}",
        alpha=_percent(data.threshold.alpha, 1.0),
        histogram=_histogram(data.groups, data.threshold),
        galleries=[
            _CardGallery(g.title, g.text, tuple(_card(p) for p in g.pictures))
            for g in data.galleries
            if g.pictures
        ],
        ramp=_ramp(),
        ramp_marks=[_Tick(_number(100.0 * at / last), f"{at:g} x") for at in (0.5, 1.0, 2.0)],
        memories=[_memory(data.flash), _memory(data.ram)],
        bank=None if data.bank is None else _bank(data.bank),
        effort=None if data.instructions is None else _effort(data.instructions),
        runners=[_RUNNERS[runner] for runner in data.parity.runners],
        parity_rows=_parity_rows(data.parity),
        parity_bytes=show_bytes(data.parity.n_bytes),
        metric_groups=_metric_groups(data),
        runtime_rows=_runtime_rows(data.runtimes),
    )
