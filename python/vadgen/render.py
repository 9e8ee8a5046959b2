"""The result of each verb, as a person reads it: 80 columns, colour only where it is asked for.

Every function takes the object that `--json` prints and returns lines. A key that is missing or
null leaves its line out, so that what was not done is not shown.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vadgen.units import show_bytes, show_count, show_stack

Object = Mapping[str, Any]

WIDTH = 80
_LABEL = 14
_BAR = 24

_WHAT = ("taps", "cells", "score", "decision")
_RUNNERS = {
    "host": "host C",
    "emulator": "emulated core",
    "board": "board",
    "self_test": "its self-test",
    "reference": "numpy reference",
    "tflm": "TFLM",
}
_RUNTIMES = {"vadgen": "vadgen", "tflm": "TFLM"}
_METRICS = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO",
    "image_f1": "image F1, best threshold (oracle)",
    "pixel_f1": "pixel F1, best threshold (oracle)",
    "recall": "defects found at the shipped threshold",
    "false_positive_rate": "false alarms at the shipped threshold",
}


@dataclass(frozen=True)
class Paint:
    """Colours and signs that the stream can show.

    Attributes:
        colour: ANSI colours are understood.
        unicode: more than ASCII is understood.
        command: how this program is called, for the commands it proposes.
    """

    colour: bool = False
    unicode: bool = True
    command: str = "vadgen"

    def bold(self, text: str) -> str:
        """Headings and numbers that matter."""
        return self._ansi("1", text)

    def dim(self, text: str) -> str:
        """What can be passed over."""
        return self._ansi("2", text)

    def good(self, text: str) -> str:
        """What is as it should be."""
        return self._ansi("32", text)

    def bad(self, text: str) -> str:
        """What is not."""
        return self._ansi("1;31", text)

    def warn(self, text: str) -> str:
        """What wants a look."""
        return self._ansi("33", text)

    def bar(self, fraction: float) -> str:
        """A bar that is full at 1 and red beyond."""
        full, empty = ("█", "░") if self.unicode else ("#", ".")
        n = max(0, min(_BAR, round(fraction * _BAR)))
        n = max(n, 1) if fraction > 0 else n
        tint = self.bad if fraction > 1 else self.warn if fraction > 0.9 else self.good
        return tint(full * n) + self.dim(empty * (_BAR - n))

    @property
    def dot(self) -> str:
        """Stands between parts of a line."""
        return "·" if self.unicode else "-"

    def _ansi(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text


def short(path: str) -> str:
    """The path as seen from the working folder when it is inside, else unchanged."""
    try:
        return str(Path(path).resolve().relative_to(Path.cwd()))
    except (OSError, ValueError):
        return path


def _typed(path: str) -> str:
    """The path as it is typed in a shell."""
    return shlex.quote(short(path))


def _row(paint: Paint, label: str, text: str) -> str:
    return f"  {paint.bold(f'{label:<{_LABEL}}')}{text}" if label else _more(text)


def _more(text: str) -> str:
    return " " * (_LABEL + 2) + text


def _wrapped(parts: Iterable[str], between: str) -> Iterator[str]:
    """Parts joined into lines that stay inside the width beside the labels."""
    line = ""
    for part in parts:
        longer = f"{line}{between}{part}" if line else part
        if len(longer) > WIDTH - _LABEL - 2 and line:
            yield line
            longer = part
        line = longer
    if line:
        yield line


def _rows(paint: Paint, label: str, text: str) -> Iterator[str]:
    """A label and a sentence of any length beside it."""
    for i, line in enumerate(_wrapped(text.split(), " ")):
        yield _row(paint, label if i == 0 else "", line)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], indent: int = 2) -> Iterator[str]:
    """Columns as wide as their widest cell; a column of numbers stands to the right."""
    body = [tuple("" if cell is None else str(cell) for cell in row) for row in rows]
    cells = [tuple(head), *body]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    numeric = [
        bool(body) and all(row[i][:1].isdigit() or row[i] in ("", "-") for row in body)
        for i in range(len(head))
    ]
    for row in cells:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        yield (" " * indent + "  ".join(padded)).rstrip()


def _verdict(paint: Paint, state: bool | None, width: int) -> str:
    text = {True: "same", False: "DIFFERS", None: "not run"}[state]
    tint = {True: paint.good, False: paint.bad, None: paint.dim}[state]
    return tint(f"{text:>{width}}")


def _parity(obj: Object, paint: Paint, reference: str = "numpy reference") -> Iterator[str]:
    """`parity` says which runs agree with the reference, `parity_by` in what."""
    runs: Object = obj.get("parity") or {}
    if not runs:
        return
    detail: Object = obj.get("parity_by") or {}
    images = obj.get("parity_images")
    compared = f"bytes of {images} images" if images else "bytes"
    yield _row(paint, "Parity", f"{compared}, compared with the {reference}")
    what = [w for w in _WHAT if any(w in (detail.get(run) or {}) for run in runs)] or [""]
    if what != [""]:
        yield _more(f"{'':<16}" + "".join(f"{w:>10}" for w in what))
    for run, state in runs.items():
        cells = detail.get(run) or {}
        states = [cells.get(w) if state is not None and cells else state for w in what]
        yield _more(
            f"{_RUNNERS.get(run, run):<16}" + "".join(_verdict(paint, s, 10) for s in states)
        )


def _memory(obj: Object, paint: Paint, label: str, key: str) -> Iterator[str]:
    """`flash_bytes`, `flash_budget` and `flash_by`, or the same of `ram`."""
    by: Mapping[str, int] = obj.get(f"{key}_by") or {}
    used, budget = sum(by.values()) or obj.get(f"{key}_bytes"), obj.get(f"{key}_budget")
    if used is None:
        return
    if budget:
        share = f"{used / budget:.0%}"
        yield _row(
            paint,
            label,
            f"{paint.bar(used / budget)} {show_bytes(used)} of {show_bytes(budget)} ({share})",
        )
        if used > budget:
            yield _more(paint.bad(f"{used - budget:,} bytes too many"))
    else:
        yield _row(paint, label, show_bytes(used))
    parts = [f"{name} {show_bytes(n)}" for name, n in by.items()]
    for line in _wrapped(parts, f" {paint.dot} "):
        yield _more(paint.dim(line))


def _stack_and_heap(obj: Object, paint: Paint) -> Iterator[str]:
    """`stack` and `heap`, of a firmware that was compiled here."""
    stack: Object | None = obj.get("stack")
    if stack:
        told = show_stack(stack["set_aside"], stack["bound"], stack["painted"])
        yield _row(paint, "Stack", told)
        if stack["reason"]:
            yield _more(paint.dim(stack["reason"]))
    heap: Sequence[str] | None = obj.get("heap")
    if heap is not None:
        yield _row(paint, "Heap", ", ".join(heap) or "none: no function of one is linked")


def _instructions(obj: Object, paint: Paint) -> Iterator[str]:
    total = obj.get("instructions")
    if total is None:
        return
    yield _row(paint, "Instructions", f"{paint.bold(show_count(total))} for one image")
    for key, title in (("instructions_by", ""), ("search_instructions", "search: ")):
        parts = [f"{name} {show_count(n)}" for name, n in (obj.get(key) or {}).items() if n]
        for i, line in enumerate(_wrapped(parts, f" {paint.dot} ")):
            yield _more(paint.dim(line if i else title + line))


def _runtimes(obj: Object, paint: Paint) -> Iterator[str]:
    """`runtimes`: what the model takes on each, where there is more than one."""
    runtimes: Sequence[Object] = obj.get("runtimes") or ()
    if not runtimes:
        return
    names = (_RUNTIMES.get(r["runtime"], r["runtime"]) for r in runtimes)
    yield _row(paint, "Runtimes", f"{'':<22}" + "".join(f"{name:>14}" for name in names))

    def line(label: str, values: Iterable[int | None], show: Callable[[int], str]) -> str:
        cells = ("-" if value is None else show(value) for value in values)
        return _more(f"{label:<22}" + "".join(f"{cell:>14}" for cell in cells))

    for key, label in (("flash_bytes", "flash"), ("ram_bytes", "RAM"), ("arena_bytes", "arena")):
        yield line(label, (r[key] for r in runtimes), show_bytes)
    yield line("instructions", (r["instructions"] for r in runtimes), show_count)
    for part in dict.fromkeys(part for r in runtimes for part in r["instructions_by"]):
        yield paint.dim(
            line(f"  {part}", (r["instructions_by"].get(part) for r in runtimes), show_count)
        )


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float | int) else "-"


def _metrics(obj: Object, paint: Paint) -> Iterator[str]:
    """`metrics`: figures by name, for one model or for `float` and `int8` side by side."""
    metrics: Object = obj.get("metrics") or {}
    if not metrics:
        return
    models: Object = (
        metrics
        if all(isinstance(m, Mapping) or m is None for m in metrics.values())
        else {"": metrics}
    )
    models = {name: figures for name, figures in models.items() if figures}
    head = "".join(f"{name:>8}" for name in models)
    yield _row(paint, "Test images", f"{'':<42}{head}").rstrip()
    known = [k for k in _METRICS if any(k in figures for figures in models.values())]
    for key in known:
        figures = "".join(f"{_number(m.get(key)):>8}" for m in models.values())
        yield _more(f"{_METRICS[key]:<42}{figures}")


def _threshold(obj: Object, paint: Paint) -> Iterator[str]:
    threshold = obj.get("threshold")
    if threshold is None:
        return
    yield _row(paint, "Threshold", f"score above {paint.bold(f'{threshold:,}')} is a defect")
    alpha, normals = obj.get("alpha"), obj.get("normals")
    if alpha is not None and normals is not None:
        yield _more(
            paint.dim(f"at most {alpha:.1%} of good parts flagged, from {normals} held-out images")
        )


def _next(obj: Object, paint: Paint) -> Iterator[str]:
    """Commands worth typing next; none for a firmware that must not be used."""
    parity: Object = obj.get("parity") or {}
    if False in parity.values():
        return
    verbs = [("infer", "photo.png"), ("verify", "--on host" if obj.get("needs_tool") else "")]
    if parity.get("emulator") is None and obj["board"] != "host" and not obj.get("needs_tool"):
        verbs.append(("flash", "--port PORT"))
    for i, (verb, rest) in enumerate(verbs):
        command = f"{paint.command} {verb} {_typed(obj['out'])} {rest}".rstrip()
        yield _row(paint, "" if i else "Next", command)


def _notes(obj: Object, paint: Paint) -> Iterator[str]:
    for i, note in enumerate(obj.get("notes") or ()):
        yield from _rows(paint, "Note" if i == 0 else "", note)


def _needs_tool(obj: Object, paint: Paint) -> Iterator[str]:
    needs = obj.get("needs_tool")
    if needs:
        yield from _rows(paint, "Not compiled", needs["message"])
        yield _row(paint, "Finish with", needs["command"])


def _done(obj: Object, paint: Paint) -> Iterator[str]:
    seconds = obj.get("seconds")
    if seconds is not None:
        yield paint.dim(f"  done in {seconds:.1f} s")


def _blocks(*blocks: Iterable[str]) -> list[str]:
    """Blocks with an empty line between those that have any."""
    lines: list[str] = []
    for block in blocks:
        body = list(block)
        if body and lines:
            lines.append("")
        lines += body
    return lines


def _headline(obj: Object, paint: Paint, keys: Sequence[str]) -> Iterator[str]:
    parts = [str(obj["board"])] + [str(obj[k]) for k in keys if obj.get(k) is not None]
    if obj.get("input"):
        side = obj["input"]
        parts.append(f"{side} x {side}" if isinstance(side, int) else str(side))
    yield "  " + paint.bold(f" {paint.dot} ".join(parts))


def _detector(obj: Object, paint: Paint) -> Iterator[str]:
    if obj.get("detector_title"):
        yield _row(paint, "Detector", str(obj["detector_title"]))


def _weighed(obj: Object, paint: Paint) -> Iterator[str]:
    """`weighed`: the memory banks that were weighed, the chosen one first."""
    banks: Sequence[Object] = obj.get("weighed") or ()
    if not banks:
        return
    yield _row(paint, "Memory banks", "that fit; the first was taken. adc 44x4: 44 codes of 4 bits")
    rows = [
        (
            bank["title"],
            f"{bank['codes']:,}",
            show_bytes(bank["bank_bytes"]),
            show_count(bank["instructions"]),
            _number(bank["noise"]),
            _number(bank["painted_auroc"]),
        )
        for bank in banks
    ]
    head = ("kind", "rows", "bytes", "instr.", "error", "painted")
    for line in table(head, rows, indent=2):
        yield paint.dim(line)
    yield from _rows(
        paint,
        "",
        "error: of distances on held-out normals, over their spread; "
        "painted: AUROC of faint defects painted on them; instr.: expected of a picture",
    )


def render_build(obj: Object, paint: Paint) -> list[str]:
    """Board, threshold, parity, memory, instructions, metrics, report, next commands."""
    report = [_row(paint, "Report", short(obj["report"]))] if obj.get("report") else []
    return _blocks(
        _headline(obj, paint, ("data", "backbone", "detector")),
        [*_detector(obj, paint), *_threshold(obj, paint)],
        _weighed(obj, paint),
        _parity(obj, paint),
        [
            *_memory(obj, paint, "Flash", "flash"),
            *_memory(obj, paint, "RAM", "ram"),
            *_stack_and_heap(obj, paint),
        ],
        _instructions(obj, paint),
        _runtimes(obj, paint),
        _metrics(obj, paint),
        _notes(obj, paint),
        _needs_tool(obj, paint),
        [*report, *_next(obj, paint)],
        _done(obj, paint),
    )


def _plan(plan: Object, paint: Paint) -> Iterator[str]:
    """A line a step, under the segment that it runs in: layer by layer, or streamed by rows."""
    if not plan:
        return
    steps = [dict(zip(plan["columns"], row, strict=True)) for row in plan["rows"]]
    head = ("operator", "output", "layout", "rows", "bytes", "instructions")
    lines = list(table(head, map(_step, steps), indent=4))
    yield paint.bold(lines[0])
    segment = None
    for step, line in zip(steps, lines[1:], strict=True):
        if step["segment"] != segment:
            segment = step["segment"]
            yield paint.dim(f"  segment {segment}, {_RUNS[step['runs']]}")
        yield line
    if any(step["constants"] == "compact" for step in steps):
        yield paint.dim("  * constants in the small layout, because flash is short")


_RUNS = {"streamed": "streamed by rows", "whole": "one operator at a time"}


def _step(step: Object) -> tuple[str, ...]:
    """The cells of a step: its operator's number and its kernel, or what it is."""
    name = step["operator"]
    if step["kernel"]:
        name = f"{name.split()[0]} {step['kernel'].removeprefix('vad_')}"
        name += "*" if step["constants"] == "compact" else ""
    kept, rows, n_bytes, count = (
        step[key] for key in ("rows kept", "rows", "bytes", "instructions")
    )
    return (
        name,
        step["output"],
        step["layout"],
        "" if kept is None else f"{kept}/{rows}" if kept < rows else f"all {rows}",
        "" if n_bytes is None else show_bytes(n_bytes),
        "" if count is None else show_count(count),
    )


def render_compile(obj: Object, paint: Paint) -> list[str]:
    """The backbone alone: memory, instructions, parity, the plan when it was asked for."""
    io_bytes = obj.get("io_bytes")
    frame = (
        [
            _row(
                paint,
                "Kept whole",
                f"{show_bytes(io_bytes)} of input and outputs beside the RAM above",
            )
        ]
        if io_bytes
        else []
    )
    plan: Object = obj.get("explain") or {}
    return _blocks(
        _headline(obj, paint, ("model",)),
        _plan(plan, paint),
        _parity(obj, paint, "TFLM interpreter"),
        [
            *_memory(obj, paint, "Flash", "flash"),
            *_memory(obj, paint, "RAM", "ram"),
            *frame,
            *_stack_and_heap(obj, paint),
        ],
        _instructions({**obj, "instructions_by": {}} if plan else obj, paint),
        _runtimes(obj, paint),
        _notes(obj, paint),
        _needs_tool(obj, paint),
        [_row(paint, "Output", short(obj["out"]))],
        _done(obj, paint),
    )


def render_verify(obj: Object, paint: Paint) -> list[str]:
    """What was compared, and whether it is the same."""
    return _blocks(_parity(obj, paint), _notes(obj, paint), _done(obj, paint))


def render_infer(obj: Object, paint: Paint) -> list[str]:
    """One line an image: decision, score, share of the threshold, name; the map below it."""
    threshold = obj["threshold"]
    lines = []
    for image in obj["images"]:
        word = paint.bad("DEFECT") if image["is_anomalous"] else paint.good("good  ")
        share = f"{image['score'] / threshold:>6.0%}" if threshold else ""
        lines.append(f"  {word}  {image['score']:>12,}  {share}  {short(image['image'])}")
        if image.get("map"):
            lines.append(paint.dim(f"          map: {short(image['map'])}"))
    on = _RUNNERS.get(obj.get("on", ""), obj.get("on", ""))
    head = f"  threshold {threshold:,}" + (f", scored by the {on}" if on else "")
    traffic = obj.get("traffic")
    if traffic:
        lines.append(
            paint.dim(
                f"  {traffic['sent_bytes']:,} bytes sent for {traffic['picture_bytes']:,} of "
                f"pictures, {traffic['received_bytes']:,} received, in {traffic['seconds']:.1f} s"
            )
        )
    return _blocks([paint.dim(head), *lines], _notes(obj, paint), _done(obj, paint))


def render_evaluate(obj: Object, paint: Paint) -> list[str]:
    """The metrics."""
    return _blocks(
        _threshold(obj, paint), _metrics(obj, paint), _notes(obj, paint), _done(obj, paint)
    )


def render_benchmark(obj: Object, paint: Paint) -> list[str]:
    """A line a combination, means over its seeds; what could not be run; what to do next."""
    if "tables" in obj:
        return _benchmark_report(obj, paint)
    rows = [
        (
            f"{row['category']} {row['backbone']} {row['detector']}"
            + f" p={row['contamination']:g}" * bool(row["contamination"])
            + " guard" * bool(row["guard"]),
            _number(row.get("image_auroc")),
            _number(row.get("pixel_auroc")),
            _number(row.get("aupro")),
            "-" if row.get("model_bytes") is None else show_bytes(round(row["model_bytes"])),
            row["rows"][0][:6],
        )
        for row in obj["rows"]
        if row["impossible"] is None
    ]
    head = ("", "image", "pixel", "AUPRO", "detector", "row")
    out = _typed(obj["out"])
    return _blocks(
        [
            f"  {obj['cells']} cells: {obj['ran']} run now, {obj['found']} were there"
            + f", {len(obj['impossible'])} not possible" * bool(obj["impossible"])
        ],
        table(head, rows) if rows else [],
        (line for text in obj["impossible"] for line in _rows(paint, "Not possible", text)),
        [
            _row(paint, "Next", f"{paint.command} benchmark report {out}"),
            _more(f"{paint.command} build --from-row {out}:ROW --board qemu_m7"),
        ],
        _done(obj, paint),
    )


def _benchmark_report(obj: Object, paint: Paint) -> list[str]:
    titles = {"Tables": obj["tables"], "Plots": obj["plots"]}
    return _blocks(
        *(
            [_row(paint, label if i == 0 else "", text) for i, text in enumerate(texts)]
            for label, texts in titles.items()
        ),
        [_row(paint, "Report", short(obj["report"]))],
        _done(obj, paint),
    )


def render_size(obj: Object, paint: Paint) -> list[str]:
    """Flash and RAM by part, in bytes."""

    def ledger(key: str) -> Iterator[str]:
        yield from _memory({**obj, f"{key}_by": {}}, paint, {"ram": "RAM"}.get(key, "Flash"), key)
        for name, n_bytes in (obj.get(f"{key}_by") or {}).items():
            yield _more(f"{name:<30}{n_bytes:>14,} bytes")

    return _blocks(
        ledger("flash"),
        ledger("ram"),
        _stack_and_heap(obj, paint),
        _memories(obj),
        _bank(obj, paint),
        _banks(obj),
        _notes(obj, paint),
    )


def _memories(obj: Object) -> Iterator[str]:
    """What lies in each of the board's memories, where there are several."""
    for name, memory in (obj.get("memories") or {}).items():
        parts = ", ".join(f"{part} {n:,}" for part, n in memory["by"].items()) or "nothing"
        yield f"{name:<12}{memory['bytes']:>9,} of {memory['budget']:>9,} bytes: {parts}"


def _bank(obj: Object, paint: Paint) -> Iterator[str]:
    """`bank`: what the memory bank takes, and what it would take otherwise."""
    bank: Object = obj.get("bank") or {}
    if not bank:
        return
    flash = bank["flash_bytes"]
    if bank["subspaces"] is None:
        what = f"{bank['dims']} int8 values"
    else:
        what = f"{bank['subspaces']} codes of {bank['bits']} bits"
    yield _row(paint, "Memory bank", f"{bank['rows']:,} rows of {what}, search {bank['search']}")
    for where, parts in (("flash", bank["flash_by"]), ("RAM", bank["ram_by"])):
        for name, n_bytes in parts.items():
            yield _more(f"{where + ', ' + name:<30}{n_bytes:>14,} bytes")
    others = {
        "as float32 rows": bank["float_bytes"],
        "in Python, float32": bank["python_float_bytes"],
        "in Python, this bank": bank["python_bytes"],
    }
    for name, n_bytes in others.items():
        yield _more(paint.dim(f"{name:<30}{n_bytes:>14,} bytes ({n_bytes / flash:.1f} x)"))


def _banks(obj: Object) -> Iterator[str]:
    """`banks`: the same for other sizes, a line each."""
    banks: Sequence[Object] = obj.get("banks") or ()
    if not banks:
        return
    head = ("rows", "cand.", "codes", "codebook", "tables", "heap", "RAM", "float32", "Python")
    rows = []
    for b in banks:
        sizes = (
            *(b["flash_by"][part] for part in ("codes", "codebook")),
            *(b["ram_by"][part] for part in ("tables", "heap")),
            *(b[key] for key in ("ram_bytes", "float_bytes", "python_bytes")),
        )
        candidates = "-" if b["candidates"] is None else f"{b['candidates']:,}"
        rows.append((f"{b['rows']:,}", candidates, *(f"{n / 1024:,.1f}" for n in sizes)))
    yield from table(head, rows)
    yield "  sizes in KiB; candidates of the two-phase search"


def render_study(obj: Object, paint: Paint) -> list[str]:
    """A line a bank and search, and where the plots are."""
    head = ("search", "N", "K", "M", "bits", "bytes", "AUROC", "F1", "pixels", "F1", "found")
    rows = [
        (
            p["search"],
            f"{p['rows']:,}",
            *("-" if p[key] is None else f"{p[key]:,}" for key in ("candidates", "subspaces")),
            p["bits"] or "-",
            show_bytes(p["flash_bytes"]),
            *(_number(p[key]) for key in ("image_auroc", "image_f1", "pixel_auroc", "pixel_f1")),
            f"{p['found']:.1%}",
        )
        for p in obj["points"]
    ]
    plots = [f"{short(obj['out'])}/{name}" for name in obj["plots"]]
    return _blocks(
        table(head, rows, indent=0),
        ["AUROC and F1 of pictures, then of pixels; F1 at the labels' best threshold (oracle)"],
        (_row(paint, "Plots" if i == 0 else "", plot) for i, plot in enumerate(plots)),
        _notes(obj, paint),
        _done(obj, paint),
    )


def render_boards(obj: Object, paint: Paint) -> list[str]:
    """A line a board, and what is missing for those that cannot be built here."""
    boards: Sequence[Object] = obj["boards"]
    yes, no = ("✓", "✗") if paint.unicode else ("yes", "no")
    rows = [
        (
            b["id"],
            b["core"],
            show_bytes(b["flash_bytes"]) if b["flash_bytes"] else "-",
            show_bytes(b["ram_bytes"]) if b["ram_bytes"] else "-",
            b["built_with"],
            yes if b["tools"] else no,
        )
        for b in boards
    ]
    head, *lines = table(("board", "core", "flash", "RAM", "built with", "tools"), rows)
    tints = [paint.good if b["tools"] else paint.warn for b in boards]
    missing: dict[str, list[str]] = {}
    for b in boards:
        if b["missing"]:
            missing.setdefault(b["missing"], []).append(b["id"])
    return _blocks(
        [
            paint.bold(head),
            *(
                line[: -len(row[-1])] + tint(row[-1])
                for line, row, tint in zip(lines, rows, tints, strict=True)
            ),
        ],
        (line for why, ids in missing.items() for line in _missing(paint, ids, why)),
        [_row(paint, "Added", short(obj["added"]))] if obj.get("added") else [],
        _notes(obj, paint),
    )


def _missing(paint: Paint, ids: Sequence[str], why: str) -> Iterator[str]:
    yield "  " + paint.warn(", ".join(ids))
    yield f"    {why}"


def render_flash(obj: Object, paint: Paint) -> list[str]:
    """A line a board that was flashed."""
    rows = [
        f"  {board['port'] or obj['board']:<24}{board['method']:<12}{board['seconds']:>7.1f} s  "
        + (board["error"] or ("flashed, self-test passed" if board["self_test"] else "flashed"))
        for board in obj["flashed"]
    ]
    head = f"  {'port':<24}{'method':<12}{'time':>9}  result"
    return _blocks([head, *rows], _notes(obj, paint))


def render_device(obj: Object, paint: Paint) -> list[str]:
    """What a board is, what it counted, whether it works."""

    def lines() -> Iterator[str]:
        yield _row(paint, "Board", f"{obj['board']} at {obj['port']}, vadgen {obj['firmware']}")
        yield _row(paint, "Model", obj["model"])
        volatile = ", until the next reset" if obj["threshold_is_volatile"] else ""
        shipped = f" (shipped: {obj['shipped_threshold']:,})"
        yield _row(paint, "Threshold", f"{obj['threshold']:,}{volatile}{shipped}")
        used, budget = obj["stack_bytes"], obj["stack_budget"]
        share = f" of {budget:,}" if budget else ""
        yield _row(paint, "Stack", f"{used:,}{share} bytes used at most")
        counted = "images", "frames", "damaged", "too_long", "refused", "misplaced", "overruns"
        parts = [f"{name.replace('_', ' ')} {obj[name]:,}" for name in counted]
        yield _row(paint, "Counted", f" {paint.dot} ".join(parts))
        for i, state in enumerate(obj["self_test"] or ()):
            yield _row(paint, "" if i else "Self-test", f"image {i}{_verdict(paint, state, 10)}")

    return _blocks(lines(), _notes(obj, paint), _done(obj, paint))


def render_fields(obj: Object, paint: Paint) -> list[str]:
    """Any other result: a line a field."""
    lines: list[str] = []
    for key, value in obj.items():
        if value is None or key in ("seconds", "notes"):
            continue
        values = value if isinstance(value, list | tuple) else [value]
        for i, item in enumerate(values):
            is_path = isinstance(item, str) and os.sep in item and "://" not in item
            text = short(item) if is_path else str(item)
            lines.append(_row(paint, key.replace("_", " ").capitalize() if i == 0 else "", text))
    return _blocks(lines, _notes(obj, paint), _done(obj, paint))
