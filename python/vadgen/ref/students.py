"""Teacher against student: how far two int8 taps point apart; C twin `vad_students.c`.

All of it is integers. With t and s the features of a cell, zero points subtracted,

    p = (t . t)(s . s),  shifted left by 2k, the most that 64 bits hold
    r = floor(sqrt(p 2^2k))
    half = floor(((r - (t . s) 2^k) 2^30 + floor(r / 2)) / r)

is (1 - cos) / 2 in steps of 2^-31, within two steps of the real number. Levels are multiplied, each
product kept with 62 bits behind the point and cut there; a cell's score is that product in steps of
2^(shift - 62), rounded half up, at most 2^32 - 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadgen.ref.roi import Inside

LEVEL_BITS = 31
PRODUCT_BITS = 2 * LEVEL_BITS
MAX_CHANNELS = 1 << 15
"""A sum of so many products of two differences of bytes stays below 2^31."""

_U = np.uint64


@dataclass(frozen=True)
class Level:
    """A tap of the teacher and the student's.

    Attributes:
        rows, cols, channels: of both.
        teacher_zero, student_zero: their zero points.
    """

    rows: int
    cols: int
    channels: int
    teacher_zero: int
    student_zero: int


def halves(level: Level, teacher: np.ndarray, student: np.ndarray) -> NDArray[np.uint32]:
    """(1 - cos) / 2 of each cell.

    Where the features of one tap are all 0 it is 1/4, where those of both are, 0: a quarter of the
    squared distance, as everywhere, a vector without a direction staying 0.

    Args:
        level: zero points.
        teacher: int8 (n, rows, cols, channels).
        student: of the same shape.

    Returns:
        uint32 (n, rows, cols) in steps of 2^-LEVEL_BITS, at most 2^31.
    """
    t = teacher.astype(np.int64) - level.teacher_zero
    s = student.astype(np.int64) - level.student_zero
    ts, tt, ss = ((a * b).sum(axis=3) for a, b in ((t, s), (t, t), (s, s)))
    p = tt.astype(_U) * ss.astype(_U)
    known = p > 0
    p = np.where(known, p, _U(1))
    k = np.zeros(p.shape, _U)
    for bits in (16, 8, 4, 2, 1):
        fits = p >> _U(64 - 2 * bits) == 0
        p = np.where(fits, p << _U(2 * bits), p)
        k += np.where(fits, _U(bits), _U(0))
    r = square_root(p)
    apart = (r.astype(np.int64) - (ts << k.astype(np.int64))).astype(_U)
    half = ((apart << _U(30)) + (r >> _U(1))) // r
    lone = np.where(tt == ss, _U(0), _U(1 << (LEVEL_BITS - 2)))
    return np.asarray(np.where(known, half, lone), np.uint32)


def square_root(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Floor of the square root; the float root is off by at most one."""
    r = np.minimum(np.sqrt(x.astype(np.float64)), 2.0**32 - 1).astype(_U)
    r -= (r * r > x).astype(_U)
    r += (x - r * r > 2 * r).astype(_U)
    return r


def products(levels: Sequence[NDArray[np.uint32]]) -> NDArray[np.uint64]:
    """Products of the levels on the first one's grid, coarser ones repeated to the nearest.

    `product = floor(product * half / 2^31)`, from `half * 2^31` of the first level on.

    Args:
        levels: uint32 (n, rows, cols) of `halves`, the finest first.

    Returns:
        uint64 (n, rows, cols) in steps of 2^-PRODUCT_BITS, at most 2^62.
    """
    rows, cols = levels[0].shape[1:]
    product = levels[0].astype(_U) << _U(LEVEL_BITS)
    for level in levels[1:]:
        y = np.arange(rows) * level.shape[1] // rows
        x = np.arange(cols) * level.shape[2] // cols
        half = level[:, y][:, :, x].astype(_U)
        high, low = product >> _U(32), product & _U(0xFFFFFFFF)
        product = high * (half << _U(1)) + ((low * half) >> _U(LEVEL_BITS))
    return product


def score_cells(
    outputs: Sequence[np.ndarray], levels: Sequence[Level], shift: int, inside: Inside
) -> NDArray[np.uint32]:
    """Scores of the finest level's cells.

    Args:
        outputs: int8 (n, rows, cols, channels): the teacher's taps, then the student's.
        levels: by tap, the finest first.
        shift: 1 to 30.
        inside: bool (rows, cols) of the finest level, the cells that count.

    Returns:
        uint32 (n, rows, cols), 0 outside.
    """
    product = products(level_halves(outputs, levels))
    scores = np.minimum((product + _U(1 << (shift - 1))) >> _U(shift), _U(2**32 - 1))
    return np.asarray(scores * inside, np.uint32)


def level_halves(
    outputs: Sequence[np.ndarray], levels: Sequence[Level]
) -> list[NDArray[np.uint32]]:
    """`halves` of every level; arguments as for `score_cells`."""
    pairs = zip(levels, outputs[: len(levels)], outputs[len(levels) :], strict=True)
    return [halves(level, teacher, student) for level, teacher, student in pairs]
