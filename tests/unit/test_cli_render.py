"""What people read on the terminal."""

from __future__ import annotations

import io
import re
import shlex
from typing import Any

import pytest
from graphs import GraphBuilder

from vadgen import render
from vadgen.lower import lower
from vadgen.plan.explain import explain_plan
from vadgen.plan.planner import make_plan
from vadgen.progress import PlainProgress, RichProgress, SilentProgress, open_progress, show_time
from vadgen.units import show_bytes, show_count

PLAIN = render.Paint()
METRICS = {"image_auroc": 0.98, "pixel_auroc": 0.97, "aupro": 0.9, "image_f1": 0.96}
BUILD: dict[str, Any] = {
    "board": "qemu_m7",
    "out": "build/qemu_m7",
    "report": "build/qemu_m7/report.html",
    "data": "demo",
    "backbone": "efficientnet_lite0",
    "detector": "padim",
    "detector_title": "diagonal PaDiM, 176 of 176 channels",
    "input": 128,
    "threshold": 18342,
    "alpha": 0.025,
    "normals": 40,
    "parity": {"host": True, "emulator": True},
    "parity_images": 8,
    "parity_by": {
        run: {"taps": True, "cells": True, "score": True, "decision": True}
        for run in ("host", "emulator")
    },
    "flash_bytes": 1_289_112,
    "flash_budget": 2 << 20,
    "flash_by": {"weights": 694_272, "tables": 524_288, "code": 61_440, "constants": 9_112},
    "ram_bytes": 460_208,
    "ram_budget": 1 << 20,
    "ram_by": {"arena": 393_216, "frame": 49_152, "state": 12_544, "stack": 5_296},
    "instructions": 71_810_112,
    "instructions_by": {"backbone": 69_570_000, "detector": 2_240_112},
    "metrics": {"float": METRICS, "int8": {**METRICS, "recall": 0.93}},
    "notes": ["160 x 160 would need 41,984 bytes of RAM more than this board has left over."],
    "needs_tool": None,
    "seconds": 41.3,
}


def joined(lines: list[str]) -> str:
    return "\n".join(lines)


def test_banks_that_were_weighed_fit_80_columns() -> None:
    bank = {
        "title": "adc 176x4, rotated, small tables",
        "codes": 4096,
        "bank_bytes": 227_123,
        "instructions": 240_730_000,
        "noise": 0.339,
        "painted_auroc": 0.8725,
    }
    other = {**bank, "title": "pqnn 44x8 of 300", "codes": 256}
    lines = render.render_build({**BUILD, "weighed": [bank, other]}, PLAIN)
    assert max(map(len, lines)) <= 80
    rows = [i for i, line in enumerate(lines) if "176x4" in line or "pqnn 44x8" in line]
    assert rows[1] == rows[0] + 1
    assert lines[rows[0]].split()[-6:] == ["221.8", "KiB", "240.73", "M", "0.339", "0.873"]
    assert not any("Memory banks" in line for line in render.render_build(BUILD, PLAIN))


def test_build_says_everything_in_80_columns() -> None:
    lines = render.render_build(BUILD, PLAIN)
    text = joined(lines)
    assert max(map(len, lines)) <= 80
    for said in (
        "qemu_m7 · demo · efficientnet_lite0 · padim · 128 x 128",
        "score above 18,342 is a defect",
        "at most 2.5% of good parts flagged, from 40 held-out images",
        "1.23 MiB of 2 MiB (61%)",
        "449.4 KiB of 1 MiB (44%)",
        "71.81 M for one image",
        "best threshold (oracle)",
        "build/qemu_m7/report.html",
        "vadgen infer build/qemu_m7 photo.png",
    ):
        assert said in text
    assert re.search(r"emulated core( +same){4}\n", text)
    assert re.search(r"shipped threshold +- +0.930\n", text)
    assert "\x1b" not in text


def test_proposed_commands_can_be_typed() -> None:
    lines = joined(render.render_build({**BUILD, "out": "my parts/a'b"}, PLAIN))
    typed = re.search(r"infer (.+) photo.png", lines)
    assert typed is not None and shlex.split(typed[1]) == ["my parts/a'b"]


def test_colour_changes_nothing_but_colour() -> None:
    coloured = joined(render.render_build(BUILD, render.Paint(colour=True)))
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == joined(render.render_build(BUILD, PLAIN))


def test_ascii_has_no_other_sign() -> None:
    assert joined(render.render_build(BUILD, render.Paint(unicode=False))).isascii()


def test_what_was_not_done_is_not_shown() -> None:
    text = joined(render.render_build({"board": "host", "out": "o", "parity": {}}, PLAIN))
    for word in ("Flash", "Parity", "Instructions", "Test images", "Threshold", "Not compiled"):
        assert word not in text


def test_broken_parity_stands_out_and_proposes_nothing() -> None:
    obj = {
        **BUILD,
        "parity": {"host": False, "emulator": None},
        "parity_by": {"host": {"taps": True, "cells": False, "score": False, "decision": True}},
    }
    text = joined(render.render_build(obj, PLAIN))
    assert re.search(r"host C +same +DIFFERS +DIFFERS +same\n", text)
    assert re.search(r"emulated core( +not run){4}\n", text)
    assert "vadgen infer" not in text


def test_a_missing_tool_and_the_command_that_finishes() -> None:
    needs = {"message": "PlatformIO's platform is not installed", "command": "pio run -d x"}
    text = joined(render.render_build({**BUILD, "needs_tool": needs}, PLAIN))
    assert "Not compiled  PlatformIO's platform is not installed" in text
    assert "Finish with   pio run -d x" in text
    assert "vadgen flash" not in text


def test_over_budget_is_said_in_bytes() -> None:
    text = joined(render.render_size({**BUILD, "ram_bytes": (1 << 20) + 12}, PLAIN))
    assert "12 bytes too many" in text
    assert re.search(r"weights +694,272 bytes", text)


def test_the_search_of_a_bank_by_part() -> None:
    parts = {"patches": 5_600_000, "tables": 28_800_000, "scan": 33_100_000}
    text = joined(render.render_build({**BUILD, "search_instructions": parts}, PLAIN))
    assert "search: patches 5.60 M · tables 28.80 M · scan 33.10 M" in text


def test_stack_and_heap_of_a_firmware() -> None:
    stack = {"set_aside": 4096, "bound": 1616, "path": [], "reason": "", "painted": 1580}
    for show in (render.render_build, render.render_size):
        text = joined(show({**BUILD, "stack": stack, "heap": []}, PLAIN))
        assert "1,580 bytes used, 1,616 at most by the call graph, of 4,096" in text
        assert "Heap          none" in text
        stranger = {**stack, "bound": None, "painted": None, "reason": "a may call itself"}
        text = joined(show({**BUILD, "stack": stranger, "heap": ["free", "malloc"]}, PLAIN))
        assert "no bound known, of 4,096" in text and "a may call itself" in text
        assert "Heap          free, malloc" in text
        assert "Heap" not in joined(show(BUILD, PLAIN))


def test_size_shows_the_memory_bank_and_others() -> None:
    bank = {
        "search": "pqnn",
        "rows": 1000,
        "dims": 176,
        "candidates": 300,
        "subspaces": 16,
        "centroids": 256,
        "bits": 8,
        "flash_bytes": 61_056,
        "flash_by": {"codes": 16_000, "codebook": 45_056},
        "ram_bytes": 160_000,
        "ram_by": {"tables": 9_216, "heap": 2_576},
        "float_bytes": 704_000,
        "python_float_bytes": 708_240,
        "python_bytes": 430_000,
    }
    lines = render.render_size({**BUILD, "bank": bank, "banks": [bank, bank]}, PLAIN)
    text = joined(lines)
    assert "1,000 rows of 16 codes of 8 bits, search pqnn" in text
    assert re.search(r"flash, codebook +45,056 bytes", text)
    assert re.search(r"as float32 rows +704,000 bytes \(11.5 x\)", text)
    assert len(re.findall(r"1,000 +300 +15.6 +44.0 +9.0 +2.5 +156.2 +687.5 +419.9", text)) == 2
    assert max(map(len, lines)) <= 80
    flat = {**bank, "search": "flat", "subspaces": None, "candidates": None}
    assert "1,000 rows of 176 int8 values, search flat" in joined(
        render.render_size({**BUILD, "bank": flat}, PLAIN)
    )


def test_infer_shows_score_and_share_of_the_threshold() -> None:
    obj = {
        "threshold": 200,
        "on": "host",
        "images": [
            {"image": "a.png", "score": 250, "is_anomalous": True, "map": "m/a.png"},
            {"image": "b.png", "score": 100, "is_anomalous": False, "map": None},
        ],
    }
    lines = render.render_infer(obj, PLAIN)
    assert re.search(r"DEFECT +250 +125%  a.png", lines[1])
    assert "m/a.png" in lines[2]
    assert re.search(r"good +100 +50%  b.png", lines[3])


def test_compile_table_and_what_is_kept_whole() -> None:
    b = GraphBuilder(3, (1, 224, 224, 3))
    stem = b.conv(b.input, 96, (3, 3), (2, 2), activation="RELU6")
    x = b.conv(b.depthwise(stem, activation="RELU6"), 8)
    program = lower(b.graph(x))
    plan = make_plan(program, ("dsp", "portable"), ram_bytes=1 << 20, flash_bytes=0, fills=True)
    obj = {
        "board": "qemu_m7",
        "out": "o",
        "ram_bytes": 32_768,
        "io_bytes": 27_648,
        "parity": {"host": True},
        "instructions": 12_345_687,
        "instructions_by": {"00 CONV_2D": 12_345_678, "01 DEPTHWISE_CONV_2D": 9},
        "explain": explain_plan(plan, {1: 12_345_678, 2: 9}),
    }
    lines = render.render_compile(obj, PLAIN)
    table = lines[lines.index("") + 1 :]
    table = table[: table.index("")]
    assert max(map(len, table)) <= 80
    assert table[0].split() == [*"operator output layout rows bytes instructions".split()]
    assert re.fullmatch(r" +00 conv2d_dsp +112x112x96 +planes +3/112 +.* KiB +12.35 M", table[3])
    assert re.fullmatch(r" +01 depthwise_dsp_planes\* +112x112x96 +pixels .* +9", table[4])
    assert table[1] == "  segment 1, streamed by rows"
    assert "small layout" in table[-1]
    assert "00 CONV_2D" not in joined(lines)
    assert "00 CONV_2D" in joined(render.render_compile({**obj, "explain": None}, PLAIN))
    assert any("27 KiB of input and outputs" in line for line in lines)
    assert any("TFLM interpreter" in line for line in lines)


def test_metrics_of_one_model() -> None:
    text = joined(render.render_evaluate({"metrics": {"image_auroc": 0.5}}, PLAIN))
    assert re.search(r"image AUROC +0.500", text)


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2 << 20, "2 MiB"), (1289112, "1.23 MiB")],
)
def test_bytes(n_bytes: int, text: str) -> None:
    assert show_bytes(n_bytes) == text


@pytest.mark.parametrize(
    ("n", "text"), [(9_999, "9,999"), (12_345, "12.3 k"), (41_300_000, "41.30 M")]
)
def test_counts(n: int, text: str) -> None:
    assert show_count(n) == text


# --- progress -------------------------------------------------------------------------------------


def test_plain_progress_is_lines_and_not_too_many() -> None:
    now = iter(float(n) for n in range(1000))
    stream = io.StringIO()
    with PlainProgress(stream, clock=lambda: next(now)) as progress:
        progress.step("Features")
        assert list(progress.track(range(20), 20, "images")) == list(range(20))
        progress.note("found in the cache")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "Features"
    assert lines[-1] == "  found in the cache"
    assert 2 <= len(lines) - 2 <= 6
    assert re.fullmatch(r"  images: \d+ of 20, about \d+ s left", lines[1])


def test_spans_of_time() -> None:
    assert [show_time(s) for s in (0.4, 89, 90, 3600, 9000)] == [
        "0 s",
        "89 s",
        "2 min",
        "60 min",
        "2.5 h",
    ]


def test_a_board_tells_what_it_is_and_whether_it_works() -> None:
    names = "images", "frames", "damaged", "too_long", "refused", "misplaced", "overruns"
    counted = dict.fromkeys(names, 3)
    told = {
        **{"board": "qemu_m7", "firmware": "0.1.0", "model": "ab" * 32, "port": "COM3"},
        **{"threshold": 12345, "shipped_threshold": 777, "threshold_is_volatile": True},
        **{"stack_bytes": 1516, "stack_budget": 4096, "self_test": [True, False], **counted},
    }
    text = "\n".join(render.render_device(told, PLAIN))
    assert "qemu_m7 at COM3" in text
    assert "12,345, until the next reset (shipped: 777)" in text
    assert "1,516 of 4,096 bytes" in text
    assert "too long 3" in text and "overruns 3" in text
    assert "image 0      same" in text and "image 1   DIFFERS" in text
    quiet = {**told, "self_test": None, "threshold_is_volatile": None, "stack_budget": 0}
    text = "\n".join(render.render_device(quiet, PLAIN))
    assert "DIFFERS" not in text and "until" not in text and "1,516 bytes" in text


def test_terminals_get_bars_and_pipes_get_lines() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert isinstance(open_progress(io.StringIO()), PlainProgress)
    stream = Terminal()
    progress = open_progress(stream)
    assert isinstance(progress, RichProgress)
    with progress:
        progress.step("Features of [good] images")
        assert list(progress.track("abc", 3, "images")) == ["a", "b", "c"]
        progress.note("found [in] the cache")
        progress.step("Fitting")
    shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", stream.getvalue())
    assert "✓ Features of [good] images" in shown
    assert "found [in] the cache" in shown
    assert "✓ Fitting" in shown


def test_a_step_that_fails_is_marked_and_the_cursor_comes_back() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with pytest.raises(KeyboardInterrupt), RichProgress(stream) as progress:
        progress.step("Fitting")
        for _ in progress.track(range(3), 3, "images"):
            raise KeyboardInterrupt
    assert "✗" in stream.getvalue()
    assert "✓" not in stream.getvalue()


def test_silence() -> None:
    progress = SilentProgress()
    progress.step("Features")
    progress.note("cached")
    assert list(progress.track(iter("ab"), 2, "images")) == ["a", "b"]
