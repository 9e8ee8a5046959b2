"""The report: self-contained, the same twice, and honest about what it says."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vadgen.report import html
from vadgen.report.heatmap import STOPS, map_of, outline, overlay, to_png, upsample
from vadgen.report.html import (
    Bank,
    BankSize,
    Fact,
    Gallery,
    Instructions,
    Memory,
    Metrics,
    Parity,
    ParityRow,
    Part,
    Picture,
    ReportData,
    ScoreGroup,
    Threshold,
    Work,
    render_report,
)

PHOTO = to_png(np.full((16, 16, 3), 90, np.uint8))
MAP = to_png(np.full((16, 16, 3), 120, np.uint8))
SAME = tuple(
    ParityRow(what, (True if what == "taps" else None, True, True))
    for what in ("taps", "cells", "score", "decision")
)
DATA = ReportData(
    title="transistor",
    board="qemu_m7",
    board_title="QEMU mps2-an500: Cortex-M7",
    backbone="efficientnet_lite0",
    detector="PaDiM, diagonal",
    input="128 x 128",
    threshold=Threshold(100, 0.05, 20),
    groups=(
        ScoreGroup("good, fitted", "train", (40, 50, 60)),
        ScoreGroup("good, held out", "held_out", (55, 70, 100)),
        ScoreGroup("good, test", "good", (50, 60, 101)),
        ScoreGroup("scratch", "defect", (99, 100, 180, 300)),
    ),
    galleries=(
        Gallery(
            "Missed",
            "The defects with the lowest scores.",
            (
                Picture("scratch/0.png", "scratch", True, 99, False, PHOTO, MAP),
                Picture("scratch/1.png", "scratch", True, 180, True, PHOTO, MAP),
                Picture("good/2.png", "good", False, 101, True, PHOTO, MAP),
                Picture("good/3.png", "good", False, 50, False, PHOTO, MAP),
            ),
        ),
        Gallery("Nothing here", "No picture.", ()),
    ),
    flash=Memory("Flash", 2048, (Part("weights", 1000), Part("code", 24))),
    ram=Memory("RAM", 4096, (Part("arena", 512),)),
    bank=None,
    instructions=Instructions(
        (
            Work("00 CONV_2D", "CONV_2D 3x3", "backbone", 600_000),
            Work("01 CONV_2D", "CONV_2D 3x3", "backbone", 300_000),
            Work("PaDiM", "PaDiM", "detector", 100_000),
        ),
        {"vad_conv2d": 880_000, **{f"small_{i}": 3_000 for i in range(40)}},
        "QEMU 7.2.22, arm-none-eabi-gcc 12.2.1",
    ),
    parity=Parity(("tflm", "host", "emulator"), SAME, 8, 4096),
    metrics_float=Metrics(image_auroc=0.981, image_f1=0.95, recall=0.9, false_positive_rate=0.03),
    metrics_int8=Metrics(image_auroc=0.978, image_f1=0.95, recall=0.9, false_positive_rate=0.02),
    needs_tool=None,
    notes=("160 x 160 needs `41,984` bytes more.",),
    recipe_toml='board = "qemu_m7"\n',
    provenance=(Fact("vadgen", "0.1.0"), Fact("recipe", "ab" * 32)),
)


class Page(HTMLParser):
    """Tags and what would be fetched; raises on tags that do not match."""

    VOID = {"meta", "img", "br", "link", "input", "hr"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.tags: set[str] = set()
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.sources += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "action")]
        assert not any(k.startswith("on") for k, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text.append(data)


def words(text: str) -> str:
    return " ".join(" ".join(Page(text).text).split())


def test_nothing_is_fetched_and_nothing_runs() -> None:
    text = render_report(DATA)
    page = Page(text)
    assert page.sources
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not page.tags & {"script", "link", "iframe", "object", "form", "base"}
    assert "://" not in text
    assert "url(" not in text and "@import" not in text
    assert "default-src 'none'" in text


def test_pictures_are_inside() -> None:
    sources = Page(render_report(DATA)).sources
    decoded = [base64.b64decode(source.partition(",")[2]) for source in sources]
    assert decoded == [PHOTO, MAP] * 4


def test_same_data_same_bytes() -> None:
    assert render_report(DATA) == render_report(replace(DATA))


def test_names_are_escaped() -> None:
    sly = replace(
        DATA,
        title="<script>alert(1)</script>",
        notes=("a & b `<i>`",),
        recipe_toml='data = "</pre><b>"\n',
    )
    text = render_report(sly)
    assert "<script" not in text
    assert "a &amp; b <code>&lt;i&gt;</code>" in text
    assert "script" not in Page(text).tags


def test_light_dark_phone_and_paper() -> None:
    text = render_report(DATA)
    for said in ("prefers-color-scheme: dark", "max-width: 640px", "@media print", "viewport"):
        assert said in text


def test_what_it_says() -> None:
    said = words(render_report(DATA))
    for text in (
        "transistor on qemu_m7",
        "Built, and the same to the last byte",
        "It has not run on a physical board yet.",
        "score is above 100",
        "at most 5.0 % of good pictures",
        "2 of 4 found",
        "1 of 3 flagged",
        "Oracle: at the best threshold the test labels allow",
        "0.981 0.978 −0.003",
        "0.950 0.950 0",
        "1 KiB of 2 KiB (50 %)",
        "1.00 M instructions",
        "instructions, not cycles or milliseconds",
        "CONV_2D 3x3 900.0 k 90 %",
        "backbone 900.0 k (90 %)",
        "160 x 160 needs 41,984 bytes more.",
        "recipe " + "ab" * 32,
    ):
        assert text in said, text
    assert "Nothing here" not in said


def test_every_decision_is_named() -> None:
    said = words(render_report(DATA))
    assert "scratch missed scratch/0.png 99" in said
    assert "scratch found scratch/1.png 180" in said
    assert "good false alarm good/2.png 101" in said
    assert "good passed good/3.png 50" in said


def test_without_labels_it_claims_nothing() -> None:
    unlabelled = replace(
        DATA, metrics_float=None, metrics_int8=None, groups=DATA.groups[:2], galleries=()
    )
    said = words(render_report(unlabelled))
    assert "nothing here says how many defects it finds" in said
    for text in ("AUROC", "Defects found", "False alarms", "Pictures", "Oracle"):
        assert text not in said


@pytest.mark.parametrize(
    ("change", "title"),
    [
        ({}, "Built, and the same to the last byte"),
        (
            {"parity": replace(DATA.parity, rows=(ParityRow("taps", (True, True, False)),))},
            "Do not use this firmware",
        ),
        ({"ram": Memory("RAM", 100, (Part("arena", 112),))}, "It does not fit the board"),
        ({"needs_tool": "PlatformIO's platform is not here."}, "Ready to be compiled"),
        (
            {"parity": replace(DATA.parity, rows=(ParityRow("taps", (True, True, None)),))},
            "Checked on this computer only",
        ),
    ],
)
def test_verdict(change: dict[str, Any], title: str) -> None:
    said = words(render_report(replace(DATA, **change)))
    titles = (
        "Built, and the same to the last byte",
        "Do not use this firmware",
        "It does not fit the board",
        "Ready to be compiled",
        "Checked on this computer only",
    )
    assert [t for t in titles if t in said] == [title]
    if title.startswith("It does not"):
        assert "RAM is 12 bytes short" in said
    if title.startswith("Do not use"):
        assert "C on the emulated chip" in said


def test_a_board_that_ran_is_not_called_untried() -> None:
    parity = Parity(("host", "board"), (ParityRow("taps", (True, True)),), 8, 10)
    assert "physical board" not in words(render_report(replace(DATA, parity=parity)))


def test_not_compared_is_told_from_not_run() -> None:
    rows = (ParityRow("taps", (True, True, None)), ParityRow("cells", (None, True, None)))
    said = words(render_report(replace(DATA, parity=replace(DATA.parity, rows=rows))))
    assert "taps same same not run cells – same not run" in said


# --- histogram ------------------------------------------------------------------------------------


def parsed(bar: html._Bar) -> tuple[float, float, float]:
    return float(bar.left), float(bar.width), float(bar.height)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("high", [150, 5000])
def test_bars_stand_on_the_right_side_of_the_threshold(seed: int, high: int) -> None:
    rng = np.random.default_rng(seed)
    threshold = Threshold(int(rng.integers(40, 140)), 0.05, 20)
    near = (threshold.value, threshold.value + 1)
    groups = tuple(
        ScoreGroup(role, role, (*(int(v) for v in rng.integers(0, high, 30)), *near))
        for role in ("good", "defect")
    )
    plot = html._histogram(groups, threshold)
    assert plot.is_log == (high == 5000)
    mark = float(plot.threshold_left)
    for group, row in zip(groups, plot.rows, strict=True):
        for bar in row.bars:
            left, width, height = parsed(bar)
            assert 0 <= left and left + width <= 100.01
            assert 0 < height <= 100
            is_above = left + width / 2 > mark
            assert bar.is_wrong == (is_above != (group.role == "defect"))
            assert min(abs(left - mark), abs(left + width - mark)) < 0.01 or not (
                left < mark < left + width
            )
        flagged = sum(score > threshold.value for score in group.scores)
        assert row.result.startswith(f"{flagged} of 32 ")
        assert any(bar.is_wrong for bar in row.bars)


@pytest.mark.parametrize("scores", [(), (0,), (7, 7, 7), (0, 1 << 31)])
def test_degenerate_scores_still_draw(scores: tuple[int, ...]) -> None:
    for value in (0, 7, 1 << 30):
        plot = html._histogram((ScoreGroup("good", "good", scores),), Threshold(value, 0.05, 20))
        assert 0 <= float(plot.threshold_left) <= 100
        assert bool(plot.rows[0].bars) == bool(scores)


def test_bar_heights_follow_the_counts() -> None:
    group = ScoreGroup("good", "good", (10,) * 10 + (90,) * 5)
    heights = [
        float(b.height) for b in html._histogram((group,), Threshold(100, 0.1, 9)).rows[0].bars
    ]
    assert heights == [100.0, 50.0]


def test_a_memory_bank_is_shown_against_floats_and_python() -> None:
    def size(rows: int) -> BankSize:
        flash = (Part("codes", 16 * rows), Part("codebook", 45_056))
        return BankSize(rows, None, flash, (Part("tables", 1024),), 704 * rows, 705 * rows, 300_000)

    assert "Memory bank" not in words(render_report(DATA))
    bank = Bank("PatchCore, 1000 rows of 16 codes", size(1000), (size(500), size(1000)))
    said = words(render_report(replace(DATA, bank=bank)))
    assert "Memory bank PatchCore, 1000 rows of 16 codes" in said
    assert f"{704_000 / 61_056:.1f} x" in said
    assert "rows codes codebook RAM as float32 in Python" in said
    assert "500 7.8 KiB 44 KiB 1 KiB" in said
    row = html._bank(bank).rows
    assert [r.is_own for r in row] == [False, True]


def test_what_rules_the_search_is_said() -> None:
    assert DATA.instructions is not None
    assert "memory bank" not in words(render_report(DATA))
    search = (Work("tables", "", "detector", 60_000), Work("scan", "", "detector", 40_000))
    counted = replace(DATA.instructions, search=search)
    said = words(render_report(replace(DATA, instructions=counted)))
    assert "Most is spent on: tables" in said
    assert "scan 40.0 k" in said


def test_memory_segments_fill_their_share() -> None:
    bar = html._memory(DATA.flash)
    assert [float(s.width) for s in bar.segments] == pytest.approx([48.828, 1.172], abs=1e-3)
    assert bar.excess is None
    over = html._memory(Memory("RAM", 100, (Part("arena", 150), Part("stack", 0))))
    assert over.excess == "50 bytes too many"
    assert [float(s.width) for s in over.segments] == [100.0]


# --- heat map -------------------------------------------------------------------------------------


def test_upsample_is_bilinear_between_centres() -> None:
    cells = np.array([[0, 8], [16, 24]])
    big = upsample(cells, 8, 8)
    assert big.shape == (8, 8)
    assert (big[0, 0], big[0, 7], big[7, 0], big[7, 7]) == (0, 8, 16, 24)
    assert big[2:6, 0] == pytest.approx([2, 6, 10, 14])
    assert np.all(upsample(np.full((3, 5), 7), 11, 13) == pytest.approx(7))


def test_below_half_of_the_threshold_a_picture_is_left_alone() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (32, 48, 3)).astype(np.uint8)
    assert np.array_equal(overlay(photo, np.full((4, 6), 50), 100), photo)
    assert not np.array_equal(overlay(photo, np.full((4, 6), 90), 100), photo)


def test_the_line_is_around_the_cells_above_the_threshold() -> None:
    photo = np.zeros((32, 32, 3), np.uint8)
    cells = np.full((4, 4), 10)
    cells[1, 2] = 100
    at_threshold = overlay(photo, cells, 100)
    assert not (at_threshold == 255).all(-1).any()
    cells[1, 2] = 101
    white = (overlay(photo, cells, 100) == 255).all(-1)
    rows, columns = np.nonzero(white)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (7, 16, 15, 24)
    assert not white[8:16, 16:24].any()


def test_colours_are_those_of_the_legend() -> None:
    photo = np.full((8, 8, 3), 200, np.uint8)
    for at, colour, opacity in STOPS[:2]:
        drawn = overlay(photo, np.full((2, 2), int(at * 1000)), 1000)
        expected = np.rint(200 * (1 - opacity) + np.array(colour) * opacity)
        assert np.array_equal(drawn[4, 4], expected)


def test_outline_stands_outside_and_leaves_the_rest() -> None:
    photo = np.zeros((10, 10, 3), np.uint8)
    region = np.zeros((10, 10), bool)
    region[4:6, 4:6] = True
    drawn = outline(photo, region, (1, 2, 3))
    assert not drawn[region].any()
    assert (drawn == (1, 2, 3)).all(-1).sum() == 8
    assert not photo.any()


def test_png_is_lossless_and_repeatable() -> None:
    image = np.random.default_rng(1).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    png = to_png(image)
    assert png == to_png(image.copy())
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), image)


def test_the_page_has_no_clock() -> None:
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b", render_report(DATA))


def test_what_is_not_looked_at_is_grey() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    inside = np.zeros((4, 4), np.bool_)
    inside[:, 2:] = True
    drawn = overlay(photo, np.where(inside, 10, 0), 100, inside)
    assert np.array_equal(drawn[:, 16:], photo[:, 16:])
    assert (np.ptp(drawn[:, :16].astype(int), axis=-1) == 0).all()


def test_a_map_does_not_fade_at_the_edge_of_the_region() -> None:
    inside = np.zeros((4, 4), np.bool_)
    inside[:, 2:] = True
    drawn = map_of(np.where(inside, 8, 0), inside, 16, 16)
    assert drawn[:, 8:] == pytest.approx(8)
    assert (drawn[:, 0] == 0).all()


def test_instructions_by_function() -> None:
    """The largest by name, and all others in one line."""
    page = render_report(DATA)
    assert "vad_conv2d" in page and "small_22" in page and "small_23" not in page
    assert re.search(r"all others.*51\.0 k", page)
