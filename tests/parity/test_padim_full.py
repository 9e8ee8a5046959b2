"""The C of full-covariance PaDiM against its numpy twin, and the integer tables against floats."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from padim_cases import PadimCase, load_padim, padim_digest

from vadgen import paths
from vadgen.detectors import padim_full
from vadgen.detectors.padim_full import (
    CellMoments,
    PadimFullTables,
    choose_features,
    empty,
    fit,
    score_float,
)
from vadgen.emit.environment import environment
from vadgen.errors import Exit, VadgenError
from vadgen.lower import Value
from vadgen.ref.padim_full import FullCells, FullTap

DETECT = paths.firmware() / "lib" / "vad_detect"
DRIVER = """
#include <stddef.h>

#include "vad_padim_full_tables.h"

/* taps: all rows of all taps. maps: the sums of those whose windows are larger than 1. */
uint32_t run(const int8_t *const taps[], uint8_t *memory, int16_t *scratch, int16_t *maps,
             uint32_t *cells) {
    const vad_padim_full_t *detector = &vad_padim_full;
    vad_padim_full_state_t state;
    const int8_t *made[8];
    vad_padim_full_begin(detector, memory, &state);
    for (uint32_t i = 0; i < detector->n_taps; i++) {
        const vad_padim_full_tap_t *tap = &detector->taps[i];
        const size_t row = (size_t)detector->cols * tap->window * tap->channels;
        made[i] = tap->window > 1 ? (const int8_t *)maps : taps[i];
        for (uint32_t y = 0; y < detector->rows && tap->window > 1; y++) {
            const int8_t *rows[15];
            for (uint32_t k = 0; k < tap->window; k++) {
                rows[k] = taps[i] + (y * tap->window + k) * row;
            }
            vad_padim_full_sums(detector, i, y, rows, maps);
            maps += (size_t)detector->cols * tap->channels;
        }
    }
    for (uint32_t y = 0; y < detector->rows; y++) {
        const int8_t *rows[8];
        for (uint32_t i = 0; i < detector->n_taps; i++) {
            const vad_padim_full_tap_t *tap = &detector->taps[i];
            const size_t row = (size_t)detector->cols * tap->channels;
            rows[i] = made[i] + y * row * (tap->window > 1 ? sizeof(int16_t) : 1);
        }
        vad_padim_full_cells(detector, y, rows, scratch, &state);
    }
    for (uint32_t i = 0; i < (uint32_t)detector->rows * detector->cols; i++) {
        cells[i] = state.cells[i];
    }
    return vad_padim_full_score(&state);
}
"""
EVERYWHERE = np.ones((1, 1), np.bool_)
SHAPES = {
    "three taps": ((12, 12, 5), (6, 6, 7), (3, 3, 16)),
    "one cell": ((4, 4, 3), (1, 1, 9)),
    "one tap, not square": ((3, 7, 12),),
    "windows of 15": ((30, 15, 4), (2, 1, 4)),
}


def values_of(*shapes: tuple[int, int, int]) -> list[Value]:
    return [
        Value(i, f"tap {i}", *shape, 0.05 * (i + 1), -3 + 7 * i) for i, shape in enumerate(shapes)
    ]


def outputs_of(values: Sequence[Value], count: int, seed: int) -> tuple[np.ndarray, ...]:
    """Correlated features, so that there is a covariance to know."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 20, (count, 1, 1, 1))
    taps = []
    for v in values:
        own = rng.normal(5, 15, (count, v.rows, v.width, v.channels))
        taps.append(np.clip(np.rint(own + common), -128, 127).astype(np.int8))
    return tuple(taps)


def compiled(tables: PadimFullTables, folder: Path) -> ctypes.CDLL:
    model = {"detector": {"tables": tables}}
    template = environment().get_template("detectors/padim_full.h.j2")
    text = template.render(model=model, version="test", source="a test")
    (folder / "vad_padim_full_tables.h").write_text(text)
    (folder / "driver.c").write_text(DRIVER)
    library = folder / "padim_full.so"
    flags = "-std=c11 -O1 -Wall -Wextra -Wconversion -Wpedantic -Werror -fPIC -shared"
    flags += f" -fsanitize=undefined -fno-sanitize-recover -I{DETECT / 'include'}"
    sources = [str(DETECT / "src" / f"vad_{name}.c") for name in ("padim_full", "smooth")]
    command = ["gcc", *flags.split(), "driver.c", *sources, "-o", str(library)]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(library))


def run_c(tables: PadimFullTables, outputs: tuple[np.ndarray, ...], folder: Path) -> np.ndarray:
    """Cells of all images. Each buffer lies between guard bytes: its size is what Python says."""
    library = compiled(tables, folder)
    library.run.restype = ctypes.c_uint32
    sink = tables.sink
    results = []
    for i in range(len(outputs[0])):
        taps = [np.ascontiguousarray(o[i]) for o in outputs]
        sizes = (sink.state_bytes, sink.scratch_bytes, sink.made_bytes)
        buffers = [np.full(size + 128, 0xA5, np.uint8) for size in sizes]
        cells = np.zeros(tables.cell_shape, np.uint32)
        score = library.run(
            (ctypes.c_void_p * len(taps))(*(t.ctypes.data for t in taps)),
            *(ctypes.c_void_p(buffer.ctypes.data + 64) for buffer in buffers),
            ctypes.c_void_p(cells.ctypes.data),
        )
        for buffer in buffers:
            assert (buffer[:64] == 0xA5).all()
            assert (buffer[-64:] == 0xA5).all()
        assert score == cells.max()
        results.append(cells)
    return np.stack(results)


@pytest.mark.parametrize("region", [False, True])
@pytest.mark.parametrize("shapes", SHAPES)
def test_c_equals_reference(shapes: str, region: bool, tmp_path: Path) -> None:
    values = values_of(*SHAPES[shapes])
    roi = np.random.default_rng(8).random((9, 9)) < 0.2 if region else None
    tables = fit(lambda: iter([outputs_of(values, 20, 0)]), values, None, 1 << 20, roi)
    rng = np.random.default_rng(2)
    noise = tuple(
        rng.choice(np.array([-128, 127], np.int8), (2, v.rows, v.width, v.channels)) for v in values
    )
    for name, outputs in (("normal", outputs_of(values, 2, 1)), ("noise", noise)):
        folder = tmp_path / name
        folder.mkdir()
        cells, scores = tables.score(outputs)
        np.testing.assert_array_equal(run_c(tables, outputs, folder), cells)
        np.testing.assert_array_equal(scores, cells.max(axis=(1, 2)))


def extreme(features: int, shift: int, scale_shift: int) -> PadimFullTables:
    """The greatest tables: every bound that the C states is met, or missed by one."""
    pixels = 128 * 15**2
    weight = np.full((2, features), 32767, np.int16)
    bias = np.full(features, 2**31 - 1 - pixels * 2 * 32767, np.int32)
    taps = (FullTap(15, weight, bias, 1),)
    lower = np.tril(np.full((1, features, features), 127, np.int8), -1)
    cells = FullCells(
        np.full((1, features), -32767, np.int16),
        lower,
        np.full(1, shift, np.uint8),
        np.full((1, features), 65535, np.uint16),
        scale_shift,
    )
    return PadimFullTables(taps, cells, EVERYWHERE)


@pytest.mark.parametrize("q", [-128, 127])
@pytest.mark.parametrize(
    ("features", "shift", "scale_shift"), [(512, 7, 1), (512, 7, 47), (8, 0, 1), (4, 7, 40)]
)
def test_extreme_tables(
    features: int, shift: int, scale_shift: int, q: int, tmp_path: Path
) -> None:
    tables = extreme(features, shift, scale_shift)
    outputs = (np.full((1, 15, 15, 2), q, np.int8),)
    cells, _ = tables.score(outputs)
    np.testing.assert_array_equal(run_c(tables, outputs, tmp_path), cells)
    if scale_shift == 1 and q == 127:
        assert cells[0, 0, 0] == 16 * int(32767 * np.sqrt(features))


@pytest.mark.parametrize("case", load_padim(), ids=lambda case: case.name)
def test_vectors(case: PadimCase, tmp_path: Path) -> None:
    """Stored digest == numpy reference == C."""
    cells, _ = case.tables().score(case.images())
    assert padim_digest(cells) == case.sha256
    np.testing.assert_array_equal(run_c(case.tables(), case.images(), tmp_path), cells)


def test_streaming_equals_batch() -> None:
    x = np.random.default_rng(3).normal(100, 2, (50, 6, 4))
    moments = CellMoments()
    for batch in (x[:1], x[1:20], x[20:]):
        moments.add(batch)
    np.testing.assert_allclose(moments.mean, x.mean(axis=0), rtol=1e-12)
    for cell in range(6):
        expected = np.cov(x[:, cell], rowvar=False)
        np.testing.assert_allclose(moments.covariance()[cell], expected, rtol=1e-9, atol=1e-12)


def test_distance_is_mahalanobis() -> None:
    """With all directions kept, the float twin is the textbook's formula, ridge included."""
    values = values_of((3, 3, 8))
    (train,), (test,) = outputs_of(values, 60, 4), outputs_of(values, 5, 5)
    inside = np.ones((3, 3), np.bool_)
    model = padim_full.fit_model([(train,)], [1.0], (1,), inside, 8, 1e-12)
    got = model.distances(padim_full.averages((test,), [1.0], (1,), inside))
    x, y = train.reshape(60, 9, 8).astype(float), test.reshape(5, 9, 8).astype(float)
    ridge = padim_full.RIDGE * np.trace(model.covariance.mean(axis=0)) / 8
    for cell in range(9):
        inverse = np.linalg.inv(np.cov(x[:, cell], rowvar=False) + ridge * np.eye(8))
        d = y[:, cell] - x[:, cell].mean(axis=0)
        np.testing.assert_allclose(got[:, cell] ** 2, np.einsum("ni,ij,nj->n", d, inverse, d))


def test_integer_distance_is_the_float_distance() -> None:
    values = values_of((12, 12, 8), (6, 6, 20))
    train, test = outputs_of(values, 60, 4), outputs_of(values, 10, 5)
    tables = fit(lambda: iter([train]), values, 24, 1 << 20)
    real = [
        tuple((o.astype(float) - v.zero_point) * v.scale for o, v in zip(x, values, strict=True))
        for x in (train, test)
    ]
    cells, scores = score_float(iter([real[0]]), iter([real[1]]), tables)
    got_cells, got_scores = tables.score(test)
    np.testing.assert_allclose(got_cells * tables.scale, cells, rtol=0.02)
    np.testing.assert_allclose(got_scores * tables.scale, scores, rtol=0.02)


def test_constant_features_give_finite_tables(tmp_path: Path) -> None:
    values = values_of((4, 4, 6), (2, 2, 6))
    train = tuple(np.full((5, v.rows, v.width, v.channels), 7, np.int8) for v in values)
    tables = fit(lambda: iter([train]), values, None, 1 << 20)
    assert (tables.score(train)[0] == 0).all()
    other = tuple(x + np.int8(20) for x in train)
    cells, scores = tables.score(other)
    assert (scores > 0).all()
    np.testing.assert_array_equal(run_c(tables, other, tmp_path), cells)


def test_features_follow_the_flash() -> None:
    values = values_of((8, 8, 40), (4, 4, 60))
    everything = empty(values, None, 1 << 30)
    assert everything.features == padim_full.DEFAULT_FEATURES
    for budget in (everything.flash_bytes, everything.flash_bytes // 2, 8000):
        smaller = empty(values, None, budget)
        assert smaller.flash_bytes <= budget
    assert choose_features(values, 100, 1 << 30) == 100
    assert choose_features(values, 99, 1 << 30) == 96


def test_flash_is_what_the_tables_take() -> None:
    values = values_of((8, 8, 12), (4, 4, 20))
    tables = fit(lambda: iter([outputs_of(values, 9, 0)]), values, 16, 1 << 20)
    cells = tables.cells
    arrays = [cells.mean, tables.packed_lower(), cells.shift, cells.scale]
    arrays += [a for tap in tables.taps for a in (tap.weight, tap.bias)]
    runs = tables.across.nbytes + tables.down.nbytes
    assert tables.flash_bytes == sum(a.nbytes for a in arrays) + runs
    same = empty(values, 16, 1 << 20)
    assert (same.flash_bytes, same.sink) == (tables.flash_bytes, tables.sink)
    roi = np.zeros((4, 4), np.bool_)
    roi[1:3] = True
    half = empty(values, 16, 1 << 20, roi)
    assert half.flash_bytes < same.flash_bytes


@pytest.mark.parametrize(
    ("shapes", "channels", "budget", "said", "code"),
    [
        (((4, 4, 9),), 99, 1 << 20, "99 features", Exit.INPUT),
        (((4, 4, 9),), 3, 1 << 20, "3 features", Exit.INPUT),
        (((4, 4, 9),), 8, 500, "8 features", Exit.DOES_NOT_FIT),
        (((4, 4, 9),), None, -5, "0 bytes of flash are left", Exit.DOES_NOT_FIT),
        (((7, 7, 9), (4, 4, 9)), None, 1 << 20, "7x7, 4x4", Exit.INPUT),
        (((16, 16, 9), (1, 1, 9)), None, 1 << 20, "16x16, 1x1", Exit.INPUT),
    ],
)
def test_refusals(
    shapes: tuple[tuple[int, int, int], ...],
    channels: int | None,
    budget: int,
    said: str,
    code: Exit,
) -> None:
    with pytest.raises(VadgenError, match=said) as caught:
        choose_features(values_of(*shapes), channels, budget)
    assert caught.value.code == code


def test_what_lies_outside_the_region_does_not_matter() -> None:
    values = values_of((8, 8, 12), (4, 4, 20))
    roi = np.zeros((4, 4), np.bool_)
    roi[1:3, 2:] = True
    train, test = outputs_of(values, 20, 0), outputs_of(values, 2, 1)
    tables = fit(lambda: iter([train]), values, 16, 1 << 20, roi)
    changed = tuple(
        np.where(np.kron(roi, np.ones((n, n), np.bool_))[None, :, :, None], output, 127)
        for n, output in zip((2, 1), test, strict=True)
    )
    cells, _ = tables.score(test)
    assert (cells[:, ~roi] == 0).all() and (cells[:, roi] > 0).all()
    np.testing.assert_array_equal(tables.score(changed)[0], cells)


def test_one_picture_is_refused() -> None:
    values = values_of((2, 2, 4))
    with pytest.raises(VadgenError, match="at least 2"):
        fit(lambda: iter([outputs_of(values, 1, 0)]), values, None, 1 << 20)
