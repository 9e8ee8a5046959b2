"""The C of teacher and student against its numpy twin, and the integers against floats."""

from __future__ import annotations

import ctypes
import math
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from students_cases import StudentsCase, load_students, students_digest

from vadgen import paths
from vadgen.detectors.students import (
    GOOD_BITS,
    GREATEST_SHIFT,
    LEAST_SHIFT,
    StudentTables,
    empty,
    fit,
    freeze,
    score_float,
)
from vadgen.emit.environment import environment
from vadgen.errors import VadgenError
from vadgen.lower import Value
from vadgen.ref.students import Level, halves, products, square_root

DETECT = paths.firmware() / "lib" / "vad_detect"
DRIVER = """
#include "vad_students_tables.h"

/* taps: all rows of all taps, the teacher's first; order: the level of each pair of rows. */
uint32_t run(uint8_t *memory, const int8_t *const taps[], const uint8_t *order, uint32_t n_rows,
             uint32_t *cells) {
    vad_students_state_t state;
    uint32_t next[VAD_STUDENTS_MAX_LEVELS] = {0};
    const uint32_t n = vad_students.n_levels;
    vad_students_begin(&vad_students, memory, &state);
    for (uint32_t i = 0; i < n_rows; i++) {
        const vad_students_level_t *level = &vad_students.levels[order[i]];
        const uint32_t at = next[order[i]]++ * level->cols * level->channels;
        vad_students_row(&vad_students, order[i], taps[order[i]] + at, taps[order[i] + n] + at,
                         &state);
    }
    for (uint32_t i = 0; i < (uint32_t)vad_students.levels[0].rows * vad_students.levels[0].cols;
         i++) {
        cells[i] = state.cells[0][i];
    }
    return vad_students_score(&state);
}
"""


def run_c(
    tables: StudentTables, outputs: Sequence[np.ndarray], folder: Path, seed: int = 0
) -> np.ndarray:
    """Cells of all images, the levels' rows mixed by the seed; the state between guard bytes."""
    model = {"detector": {"tables": tables}}
    template = environment().get_template("detectors/students.h.j2")
    text = template.render(model=model, version="test", source="a test")
    (folder / "vad_students_tables.h").write_text(text)
    (folder / "driver.c").write_text(DRIVER)
    flags = "-std=c11 -O1 -Wall -Wextra -Wconversion -Wpedantic -Werror -fPIC -shared"
    flags += f" -fsanitize=undefined -fno-sanitize-recover -I{DETECT / 'include'}"
    library_path = folder / "students.so"
    command = ["gcc", *flags.split(), "driver.c", str(DETECT / "src" / "vad_students.c")]
    subprocess.run([*command, "-o", str(library_path)], cwd=folder, check=True)
    library = ctypes.CDLL(str(library_path))
    library.run.restype = ctypes.c_uint32
    rng = np.random.default_rng(seed)
    rows = [level.rows for level in tables.levels]
    results = []
    for i in range(len(outputs[0])):
        taps = [np.ascontiguousarray(tap[i]) for tap in outputs]
        pointers = (ctypes.c_void_p * len(taps))(*(t.ctypes.data for t in taps))
        order = rng.permutation(np.repeat(np.arange(len(rows)), rows)).astype(np.uint8)
        memory = np.full(tables.sink.state_bytes + 128, 0xA5, np.uint8)
        cells = np.zeros(tables.inside.shape, np.uint32)
        score = library.run(
            ctypes.c_void_p(memory.ctypes.data + 64),
            pointers,
            ctypes.c_void_p(order.ctypes.data),
            len(order),
            ctypes.c_void_p(cells.ctypes.data),
        )
        assert (memory[:64] == 0xA5).all()
        assert (memory[64 + tables.sink.state_bytes :] == 0xA5).all()
        assert score == cells.max()
        results.append(cells)
    return np.stack(results)


@pytest.mark.parametrize("case", load_students(), ids=lambda case: case.name)
def test_vectors(case: StudentsCase, tmp_path: Path) -> None:
    """Stored digest == numpy reference == C."""
    cells, scores = case.tables().score(case.images())
    assert students_digest(cells) == case.sha256
    np.testing.assert_array_equal(run_c(case.tables(), case.images(), tmp_path), cells)
    np.testing.assert_array_equal(scores, cells.max(axis=(1, 2)))


def extremes() -> tuple[StudentTables, tuple[np.ndarray, ...]]:
    """The greatest sums there can be, vectors of zeros, and the least of all."""
    level = Level(1, 6, 1 << 15, -128, -128)
    teacher = np.full((1, 1, 6, 1 << 15), 127, np.int8)
    student = teacher.copy()
    student[0, 0, 1] = -128  # all zeros
    teacher[0, 0, 2] = student[0, 0, 2] = -128
    teacher[0, 0, 3] = student[0, 0, 3] = -128
    teacher[0, 0, 3, 0] = student[0, 0, 3, 1] = -127  # one step each, at right angles
    teacher[0, 0, 4, 1:] = student[0, 0, 4, :1] = -128  # far apart
    student[0, 0, 5, 0] = 126  # as near as can be
    return StudentTables((level,), 30, np.ones((1, 6), np.bool_)), (teacher, student)


def test_extremes(tmp_path: Path) -> None:
    tables, outputs = extremes()
    level = tables.levels[0]
    half = halves(level, *outputs)[0, 0]
    assert half.tolist()[:4] == [0, 1 << 29, 0, 1 << 30]
    t, s = (tap.astype(np.float64)[0, 0] + 128 for tap in outputs)
    for i in (4, 5):
        exact = (1 - t[i] @ s[i] / math.sqrt((t[i] @ t[i]) * (s[i] @ s[i]))) / 2
        assert abs(half[i] - exact * 2**31) <= 2
    np.testing.assert_array_equal(run_c(tables, outputs, tmp_path), tables.score(outputs)[0])


def test_opposite_taps(tmp_path: Path) -> None:
    """A difference of 1 in all of eight levels: the greatest product, saturated."""
    level = Level(1, 2, 1 << 15, 0, 0)
    taps = tuple(np.full((1, 1, 2, 1 << 15), q, np.int8) for q in (127, -128))
    assert (halves(level, *taps) == 1 << 31).all()
    tables = StudentTables((level,) * 8, 29, np.ones((1, 2), np.bool_))
    outputs = taps[:1] * 8 + taps[1:] * 8
    cells = tables.score(outputs)[0]
    assert (cells == 2**32 - 1).all()
    np.testing.assert_array_equal(run_c(tables, outputs, tmp_path), cells)


def test_square_root_is_the_floor() -> None:
    rng = np.random.default_rng(0)
    roots = np.concatenate([rng.integers(1, 2**32, 2000), [1, 2, 3, 2**31, 2**32 - 1]])
    squares = roots.astype(np.uint64) ** 2
    x = np.concatenate([squares, squares - np.uint64(1), squares + np.uint64(1), [2**64 - 1]])
    x = x.astype(np.uint64)
    assert square_root(x).tolist() == [math.isqrt(n) for n in x.tolist()]


def test_half_is_within_two_steps_of_the_real_number() -> None:
    """Exact rational arithmetic: Python's integers, the root to 40 more digits."""
    rng = np.random.default_rng(1)
    level = Level(1, 300, 6, 3, -20)
    teacher = rng.integers(-128, 128, (1, 1, 300, 6)).astype(np.int8)
    student = np.clip(teacher + rng.integers(-9, 10, teacher.shape), -128, 127).astype(np.int8)
    half = halves(level, teacher, student)[0, 0]
    for found, t, s in zip(half, teacher[0, 0].tolist(), student[0, 0].tolist(), strict=True):
        t, s = [a - 3 for a in t], [b + 20 for b in s]
        ts, tt, ss = (sum(a * b for a, b in zip(*z, strict=True)) for z in ((t, s), (t, t), (s, s)))
        scaled = 10**40
        exact = scaled - ts * scaled**2 // math.isqrt(tt * ss * scaled**2)
        assert abs(int(found) * 2 * scaled - exact * 2**31) <= 2 * 2 * scaled


def test_products_are_cut_at_62_bits() -> None:
    rng = np.random.default_rng(2)
    shapes = ((9, 6), (5, 3), (2, 2))
    levels = [rng.integers(0, 2**31 + 1, (1, *shape)).astype(np.uint32) for shape in shapes]
    found = products(levels)
    for y in range(9):
        for x in range(6):
            product = int(levels[0][0, y, x]) << 31
            for level, (rows, cols) in zip(levels[1:], shapes[1:], strict=True):
                product = product * int(level[0, y * rows // 9, x * cols // 6]) >> 31
            assert int(found[0, y, x]) == product


def values_of(zeros: tuple[int, ...] = (-3, 4, 9, -128)) -> list[Value]:
    shapes = ((8, 8, 12), (4, 4, 20)) * 2
    return [
        Value(i, f"tap {i}", *shape, 0.05, zero)
        for i, (shape, zero) in enumerate(zip(shapes, zeros, strict=True))
    ]


def taps_of(values: Sequence[Value], count: int, noise: float, seed: int) -> list[np.ndarray]:
    """Real features of a teacher, and a student's that are a little off; another length, too."""
    rng = np.random.default_rng(seed)
    shapes = [(count, v.rows, v.width, v.channels) for v in values[:2]]
    teacher = [np.abs(rng.normal(0, 1.2, shape)) for shape in shapes]
    student = [1.3 * t + rng.normal(0, noise, t.shape) for t in teacher]
    return [*teacher, *student]


def quantized(values: Sequence[Value], taps: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    pairs = zip(values, taps, strict=True)
    return tuple(
        np.clip(np.rint(t / v.scale) + v.zero_point, -128, 127).astype(np.int8) for v, t in pairs
    )


def test_integer_products_are_the_float_products() -> None:
    values = values_of()
    good = quantized(values, taps_of(values, 6, 0.02, 0))
    tables = fit(lambda: iter([tuple(t[:2] for t in good), tuple(t[2:] for t in good)]), values)
    cells, scores = tables.score(good)
    assert 2 ** (GOOD_BITS - 1) <= scores.max() <= 2**GOOD_BITS
    real = [(t.astype(float) - v.zero_point) * v.scale for v, t in zip(values, good, strict=True)]
    wanted, best = score_float([[t[:4] for t in real], [t[4:] for t in real]], tables.inside)
    np.testing.assert_allclose(cells * tables.scale, wanted, atol=tables.scale, rtol=1e-6)
    np.testing.assert_allclose(scores * tables.scale, best, atol=tables.scale, rtol=1e-6)


def test_small_products_are_not_lost() -> None:
    """Three levels of about 1e-4 each: the score keeps their order to a few in ten thousand."""
    level = Level(1, 64, 400, 0, 0)
    rng = np.random.default_rng(3)
    teacher = rng.integers(60, 128, (1, 1, 64, 400))
    student = teacher + rng.integers(-1, 2, teacher.shape)
    outputs = tuple(np.clip(t, -128, 127).astype(np.int8) for t in (teacher, student))
    half = halves(level, *outputs)
    product = products([half] * 3)
    assert product.max() < 2**62 * 1e-11
    tables = freeze((level,) * 3, int(product.max()), np.ones((1, 64), np.bool_))
    cells, _ = tables.score((outputs[0],) * 3 + (outputs[1],) * 3)
    exact = (half[0, 0].astype(np.float64) / 2**30) ** 3
    np.testing.assert_allclose(cells[0, 0] * tables.scale, exact, rtol=1e-4)


@pytest.mark.parametrize(
    ("greatest", "shift"),
    [(0, LEAST_SHIFT), (2**40, 41 - GOOD_BITS), (2**62, GREATEST_SHIFT)],
)
def test_the_shift_follows_the_good_parts(greatest: int, shift: int) -> None:
    tables = freeze((Level(1, 1, 1, 0, 0),), greatest, np.ones((1, 1), np.bool_))
    assert tables.shift == shift
    assert greatest >> shift <= 2**32


def test_what_lies_outside_the_region_does_not_matter(tmp_path: Path) -> None:
    values = values_of()
    roi = np.zeros((16, 16), np.bool_)
    roi[2:7, 5:14] = True
    good = quantized(values, taps_of(values, 3, 0.3, 4))
    tables = fit(lambda: iter([good]), values, roi)
    inside = tables.inside
    assert 0 < inside.sum() < inside.size
    assert tables.flash_bytes < empty(values).flash_bytes + 4 * 2 * inside.size
    coarse = np.add.reduceat(np.add.reduceat(inside, [0, 2, 4, 6], 0), [0, 2, 4, 6], 1) > 0
    changed = tuple(
        np.where((inside if t.shape[1] == 8 else coarse)[None, :, :, None], t, 55).astype(np.int8)
        for t in good
    )
    cells, _ = tables.score(good)
    assert (cells[:, ~inside] == 0).all() and (cells[:, inside] > 0).all()
    np.testing.assert_array_equal(tables.score(changed)[0], cells)
    np.testing.assert_array_equal(run_c(tables, changed, tmp_path), cells)


def test_taps_without_an_integer_form_are_refused() -> None:
    wide = [Value(i, "", 1, 1, (1 << 15) + 1, 1.0, 0) for i in range(2)]
    many = [Value(i, "", 1, 1, 4, 1.0, 0) for i in range(18)]
    for values in (wide, many):
        with pytest.raises(VadgenError, match="no integer form"):
            empty(values)
