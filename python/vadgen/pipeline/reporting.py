"""Fills the report from what a build came to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vadgen import __version__
from vadgen.board import UNLIMITED, Board
from vadgen.build.size import Sizes
from vadgen.build.tools import tool_versions
from vadgen.data.dataset import LabelledImage
from vadgen.data.images import image_size, load_mask, load_rgb
from vadgen.errors import VadgenError
from vadgen.pipeline.bank import OTHER_ROWS, bank_of, other_banks
from vadgen.pipeline.compiler import START, needs_tool
from vadgen.pipeline.evaluation import Evaluation, metrics_json
from vadgen.recipe import to_toml
from vadgen.report import html
from vadgen.report.heatmap import outline, overlay, to_png
from vadgen.units import show_stack

if TYPE_CHECKING:
    from vadgen.pipeline.builder import Made

_PICTURES = 3
_RUNNERS: dict[str, html.Runner] = {"tflm": "tflm", "host": "host", "emulator": "emulator"}


def write_report(work: Path, made: Made) -> None:
    """Writes `work/report.html`."""
    (work / "report.html").write_text(html.render_report(_data(made)), encoding="utf-8")


def _data(made: Made) -> html.ReportData:
    shipped, recipe, sizes = made.shipped, made.recipe, made.firmware.sizes
    size, threshold, missing = shipped.input_size, shipped.threshold, made.firmware.missing
    return html.ReportData(
        title=made.dataset.name,
        board=made.board.id,
        board_title=made.board.title,
        backbone=recipe.backbone,
        detector=shipped.detector.title,
        input=f"{size} x {size}",
        threshold=html.Threshold(threshold.value, threshold.alpha, threshold.n),
        groups=_groups(made),
        galleries=_galleries(made),
        flash=_memory("Flash", {} if sizes is None else sizes.flash, made.board.flash_bytes),
        ram=_memory("RAM", {} if sizes is None else sizes.ram, made.board.ram_bytes),
        memory_notes=_memory_notes(sizes),
        bank=_bank(made),
        instructions=_instructions(made),
        parity=_parity(made),
        metrics_float=_metrics(made.evaluation_float),
        metrics_int8=_metrics(made.evaluation),
        needs_tool=None if missing is None else _needs_tool(missing, made.board),
        notes=made.notes,
        recipe_toml=to_toml(recipe),
        provenance=_provenance(made),
        weighed=tuple(
            html.Weighed(
                j.options.title,
                j.options.n_codes,
                j.bank_bytes,
                j.instructions,
                j.noise,
                j.painted_auroc,
            )
            for j in made.weighed
        ),
        runtimes=_runtimes(made),
    )


def _runtimes(made: Made) -> tuple[html.Runtime, ...]:
    from vadgen.pipeline.builder import runtimes_json

    names = {"vadgen": "vadgen", "tflm": "TensorFlow Lite Micro"}
    return tuple(
        html.Runtime(
            names[r["runtime"]],
            r["flash_bytes"],
            r["ram_bytes"],
            r["arena_bytes"],
            r["instructions"],
            r["instructions_by"],
        )
        for r in runtimes_json(made)
    )


def _needs_tool(missing: VadgenError, board: Board) -> str:
    """Paths in it are seen from the report's folder."""
    needs = needs_tool(missing, board, Path())
    return f"{needs['message']}; {needs['hint']}"


def _groups(made: Made) -> tuple[html.ScoreGroup, ...]:
    held = made.calibrated.held_out.tolist()
    groups = [html.ScoreGroup("good, held out", "held_out", tuple(held))]
    if made.evaluation is not None:
        by_label: dict[str, list[int]] = {}
        for item, score in zip(made.evaluation.items, made.evaluation.scores, strict=True):
            by_label.setdefault(item.label, []).append(int(score))
        for label in sorted(by_label, key=lambda name: (name != "good", name)):
            scores = tuple(by_label[label])
            groups.append(
                html.ScoreGroup("good, test", "good", scores)
                if label == "good"
                else html.ScoreGroup(label, "defect", scores)
            )
    return tuple(groups)


def _galleries(made: Made) -> tuple[html.Gallery, ...]:
    evaluation = made.evaluation
    if evaluation is None:
        return ()
    scores = evaluation.scores.astype(np.int64)
    bad = np.array([item.is_anomalous for item in evaluation.items])
    descending = np.argsort(-scores, kind="stable")
    found = [int(i) for i in descending if bad[i]]
    chosen: list[tuple[str, str, list[int]]] = [
        ("Clearest defects", "the highest scores among defects", found[:_PICTURES]),
        ("Hardest defects", "the lowest scores among defects", found[::-1][:_PICTURES]),
        (
            "Most suspicious good parts",
            "the highest scores among good pictures",
            [int(i) for i in descending if not bad[i]][:_PICTURES],
        ),
    ]
    return tuple(
        html.Gallery(title, text, tuple(_picture(made, i) for i in indices))
        for title, text, indices in chosen
        if indices
    )


def _picture(made: Made, index: int) -> html.Picture:
    evaluation = made.evaluation
    assert evaluation is not None
    item, size = evaluation.items[index], made.shipped.input_size
    threshold, score = made.shipped.threshold.value, int(evaluation.scores[index])
    photo = load_rgb(item.path, size)
    mapped = overlay(photo, evaluation.cells[index], threshold, made.shipped.detector.inside)
    return html.Picture(
        name=f"{item.path.parent.name}/{item.path.name}",
        kind=item.label,
        is_defect=item.is_anomalous,
        score=score,
        is_anomalous=score > threshold,
        photo=to_png(_outlined(photo, item, size)),
        map=to_png(mapped),
    )


def _outlined(photo: NDArray[np.uint8], item: LabelledImage, size: int) -> NDArray[np.uint8]:
    if item.mask is None:
        return photo
    return outline(photo, load_mask(item.mask, image_size(item.path), size))


def _memory(name: str, parts: Mapping[str, int], budget: int) -> html.Memory:
    listed = tuple(html.Part(part, size) for part, size in parts.items())
    return html.Memory(name, None if budget == UNLIMITED else budget, listed)


def _memory_notes(sizes: Sizes | None) -> tuple[str, ...]:
    if sizes is None:
        return ()
    heap = f"Functions of a heap that are linked: {', '.join(sizes.heap) or 'none'}."
    if sizes.stack is None:
        return (heap,)
    stack = sizes.stack
    return f"Stack: {show_stack(stack.set_aside, stack.bound, stack.painted)}.", heap


def _bank(made: Made) -> html.Bank | None:
    detector = made.shipped.detector
    bank = bank_of(detector, made.plan)
    if bank is None:
        return None
    own = _bank_size(bank)
    least = bank["centroids"] or 1
    rows = sorted({own.rows, *(n for n in OTHER_ROWS if n >= least)})
    banks = other_banks(detector, made.plan.waiting_bytes, rows)
    others = tuple(_bank_size(other) for other in banks)
    return html.Bank(detector.title, own, others)


def _bank_size(bank: Mapping[str, Any]) -> html.BankSize:
    def parts(by: Mapping[str, int]) -> tuple[html.Part, ...]:
        return tuple(html.Part(name, size) for name, size in by.items())

    return html.BankSize(
        bank["rows"],
        bank["candidates"],
        parts(bank["flash_by"]),
        parts(bank["ram_by"]),
        bank["float_bytes"],
        bank["python_float_bytes"],
        bank["python_bytes"],
    )


def _instructions(made: Made) -> html.Instructions | None:
    counts, board = made.counts, made.board
    if counts is None or counts.total is None or board.emulator is None:
        return None
    works = []
    for node in made.plan.nodes:
        if node.index not in counts.by_step:
            continue
        is_detector = node.step is not None
        kind = "taps to scores" if is_detector else re.sub(r"^\d+ ", "", node.label)
        works.append(
            html.Work(
                node.label,
                kind,
                "detector" if is_detector else "backbone",
                counts.by_step[node.index],
            )
        )
    rest = counts.total - sum(work.instructions for work in works)
    if rest > 0:
        works.append(html.Work(START, "set-up", "backbone", rest))
    machine = f"{board.emulator.binary} -M {board.emulator.machine}"
    from vadgen.pipeline.builder import by_search

    search = tuple(html.Work(name, name, "detector", n) for name, n in by_search(made).items())
    return html.Instructions(tuple(works), counts.by_function, machine, search)


def _parity(made: Made) -> html.Parity:
    names = list(made.agreements)
    rows = tuple(
        html.ParityRow(what, tuple(made.agreements[name].to_json()[what] for name in names))
        for what in ("taps", "cells", "score", "decision")
    )
    compared: Sequence[NDArray[np.generic] | None] = (
        *made.reference.outputs,
        made.reference.cells,
        made.reference.scores,
        made.reference.decisions,
    )
    n_bytes = sum(a.nbytes for a in compared if a is not None)
    runners = tuple(_RUNNERS[name] for name in names)
    return html.Parity(runners, rows, len(made.images), n_bytes)


def _metrics(evaluation: Evaluation | None) -> html.Metrics | None:
    if evaluation is None:
        return None
    values = metrics_json(evaluation.metrics)
    names = html.Metrics.__dataclass_fields__
    return html.Metrics(**{k: v for k, v in values.items() if k in names})


def _provenance(made: Made) -> tuple[html.Fact, ...]:
    facts = [
        html.Fact("vadgen", __version__),
        html.Fact("seed", str(made.recipe.seed)),
        html.Fact("data, SHA-256", made.data_sha),
        *(html.Fact(name, version) for name, version in tool_versions(made.board).items()),
    ]
    return tuple(facts)
