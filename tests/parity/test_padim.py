"""PaDiM's C against its numpy twin, and the integer tables against floats."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest

from vadgen import paths
from vadgen.detectors import padim
from vadgen.detectors.padim import PadimTables, choose_channels, fit, moments, score_float
from vadgen.emit.environment import environment
from vadgen.errors import VadgenError
from vadgen.lower import Value
from vadgen.ref.padim import PadimTap, score_cells

DETECT = paths.firmware() / "lib" / "vad_detect"
DRIVER = """
#include "vad_padim_tables.h"

uint32_t run(uint8_t *memory, const int8_t *const taps[], uint32_t *cells) {
    vad_padim_state_t state;
    vad_padim_begin(&vad_padim, memory, &state);
    for (uint32_t t = 0; t < sizeof vad_padim_taps / sizeof vad_padim_taps[0]; t++) {
        const vad_padim_tap_t *tap = &vad_padim_taps[t];
        for (uint32_t y = 0; y < tap->rows; y++) {
            vad_padim_row(&vad_padim, t, taps[t] + y * tap->cols * tap->n_channels, &state);
        }
    }
    const uint32_t first = vad_padim_finish(&vad_padim, &state);
    const uint32_t score = vad_padim_finish(&vad_padim, &state);
    for (uint32_t i = 0; i < (uint32_t)vad_padim.rows * vad_padim.cols; i++) {
        cells[i] = state.cells[i];
    }
    return score == first ? score : 0;
}
"""


def values_of(*shapes: tuple[int, int, int]) -> list[Value]:
    return [
        Value(i, f"tap {i}", *shape, 0.05 * (i + 1), -3 + 7 * i) for i, shape in enumerate(shapes)
    ]


def outputs_of(values: list[Value], count: int, seed: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    shapes = [(count, v.rows, v.width, v.channels) for v in values]
    return tuple(np.clip(rng.normal(5, 30, s), -128, 127).astype(np.int8) for s in shapes)


def run_c(tables: PadimTables, outputs: tuple[np.ndarray, ...], folder: Path) -> list[np.ndarray]:
    model = {"detector": {"tables": tables}}
    text = (
        environment()
        .get_template("detectors/padim.h.j2")
        .render(model=model, version="test", source="a test")
    )
    (folder / "vad_padim_tables.h").write_text(text)
    (folder / "driver.c").write_text(DRIVER)
    library = folder / "padim.so"
    flags = "-std=c11 -O1 -Wall -Wextra -Wconversion -Werror -fPIC -shared -fsanitize=undefined"
    command = ["gcc", *flags.split(), "-fno-sanitize-recover", f"-I{DETECT / 'include'}"]
    command += ["driver.c", str(DETECT / "src" / "vad_padim.c"), "-o", str(library)]
    subprocess.run(command, cwd=folder, check=True)
    lib = ctypes.CDLL(str(library))
    results = []
    for i in range(len(outputs[0])):
        taps = [np.ascontiguousarray(o[i]) for o in outputs]
        pointers = (ctypes.c_void_p * len(taps))(*(t.ctypes.data for t in taps))
        memory = np.empty(tables.inside.size, np.uint64)
        cells = np.zeros(tables.inside.shape, np.uint32)
        score = lib.run(
            ctypes.c_void_p(memory.ctypes.data), pointers, ctypes.c_void_p(cells.ctypes.data)
        )
        assert score & 0xFFFFFFFF == cells.max()
        results.append(cells)
    return results


@pytest.mark.parametrize(
    "shapes",
    [[(8, 8, 5), (4, 4, 9), (2, 2, 16)], [(7, 5, 3), (3, 2, 4)], [(1, 1, 5)], [(3, 9, 4)]],
)
@pytest.mark.parametrize(("channels", "region"), [(None, None), (4, None), (None, (9, 9))])
def test_c_equals_reference(
    shapes: list[tuple[int, int, int]],
    channels: int | None,
    region: tuple[int, int] | None,
    tmp_path: Path,
) -> None:
    values = values_of(*shapes)
    roi = None if region is None else np.random.default_rng(7).random(region) < 0.4
    tables = fit(lambda: iter([outputs_of(values, 20, 0)]), values, channels, 1 << 20, 0, roi)
    outputs = outputs_of(values, 3, 1)
    cells, scores = tables.score(outputs)
    for i, got in enumerate(run_c(tables, outputs, tmp_path)):
        np.testing.assert_array_equal(cells[i], got)
        assert scores[i] == got.max()


def test_extreme_tables(tmp_path: Path) -> None:
    """The largest weights and differences, which the bounds in the C are about."""
    inside = np.ones((2, 3), np.bool_)
    shape = (6, 64)
    tap = PadimTap(
        inside,
        np.full(shape, 127 * 16, np.int16),
        np.full(shape, 65535, np.uint16),
        np.arange(64, dtype=np.uint16),
    )
    tables = PadimTables((tap,), inside, (64,), 1.0)
    outputs = (np.full((2, 2, 3, 64), -128, np.int8),)
    expected = np.sqrt(64 * 65535.0 * 4080.0**2)
    cells, _ = tables.score(outputs)
    assert np.abs(cells - expected).max() <= 1
    for got in run_c(tables, outputs, tmp_path):
        np.testing.assert_array_equal(cells[0], got)


def test_streaming_equals_batch() -> None:
    values = values_of((4, 4, 3))
    (x,) = outputs_of(values, 50, 3)
    batches = [(x[:1],), (x[1:20],), (x[20:],)]
    (streamed,) = moments(batches)
    np.testing.assert_allclose(streamed.mean, x.mean(axis=0), rtol=0, atol=1e-9)
    np.testing.assert_allclose(streamed.variance(), x.var(axis=0, ddof=1), rtol=1e-9)


def test_integer_distance_is_the_float_distance() -> None:
    values = values_of((6, 6, 8), (3, 3, 8))
    train, test = outputs_of(values, 60, 4), outputs_of(values, 10, 5)
    tables = fit(lambda: iter([train]), values, None, 1 << 20, 0)
    real = [
        tuple(
            (o.astype(np.float32) - v.zero_point) * v.scale for o, v in zip(x, values, strict=True)
        )
        for x in (train, test)
    ]
    kept = [tap.channels for tap in tables.taps]
    cells, scores = score_float(iter([real[0]]), iter([real[1]]), kept, tables.inside)
    integer_cells, integer_scores = tables.score(test)
    np.testing.assert_allclose(integer_cells * tables.scale, cells, rtol=0.01)
    np.testing.assert_allclose(integer_scores * tables.scale, scores, rtol=0.01)


def test_channels_follow_the_flash() -> None:
    values = values_of((8, 8, 16), (4, 4, 32))
    everything = choose_channels(values, None, 1 << 30, 0)
    assert [len(k) for k in everything] == [16, 32]
    whole = padim.empty(values, None, 1 << 30).flash_bytes
    for budget in (whole, whole // 2, whole // 5):
        assert padim.empty(values, None, budget).flash_bytes <= budget
    assert sum(len(k) for k in choose_channels(values, 10, 0, 0)) == 10


@pytest.mark.parametrize(
    ("channels", "budget", "said"),
    [(99, 1 << 20, "99 channels"), (None, 10, "10 bytes"), (None, -5, " 0 bytes")],
)
def test_refusals(channels: int | None, budget: int, said: str) -> None:
    with pytest.raises(VadgenError, match=said):
        choose_channels(values_of((8, 8, 16)), channels, budget, 0)


def test_one_picture_is_refused() -> None:
    values = values_of((2, 2, 2))
    with pytest.raises(VadgenError, match="at least 2"):
        fit(lambda: iter([outputs_of(values, 1, 0)]), values, None, 1 << 20, 0)


def test_smoothing_keeps_a_flat_map() -> None:
    inside = np.ones((5, 5), np.bool_)
    tap = PadimTap(inside, np.zeros((25, 1), np.int16), np.ones((25, 1), np.uint16), np.uint16([0]))
    cells = score_cells((np.full((1, 5, 5, 1), 100, np.int8),), (tap,), inside)
    assert (cells == 1600).all()


def test_what_lies_outside_the_region_does_not_matter() -> None:
    """Other pixels there change no score, and tables for them take no flash."""
    values = values_of((8, 8, 5), (4, 4, 9))
    roi = np.zeros((8, 8), np.bool_)
    roi[2:6, 4:8] = True
    train, test = outputs_of(values, 20, 0), outputs_of(values, 2, 1)
    tables = fit(lambda: iter([train]), values, None, 1 << 20, 0, roi)
    whole = fit(lambda: iter([train]), values, None, 1 << 20, 0)
    changed = tuple(
        np.where(tap.inside[None, :, :, None], output, 127)
        for tap, output in zip(tables.taps, test, strict=True)
    )
    cells, scores = tables.score(test)
    assert (cells[:, ~roi] == 0).all() and (cells[:, roi] > 0).all()
    np.testing.assert_array_equal(scores, cells.max(axis=(1, 2)))
    np.testing.assert_array_equal(tables.score(changed)[0], cells)
    assert tables.flash_bytes < whole.flash_bytes // 3
