"""STFPM and PaSTe: where teacher and student differ, in integers.

Both networks are one int8 graph whose outputs are the teacher's taps, then the student's. What was
trained lies in that graph; the detector has no more than zero points and the scale of its scores.

Source: Wang et al., "Student-Teacher Feature Pyramid Matching for Anomaly Detection", 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadgen.errors import VadgenError
from vadgen.lower import RowWindow, Value
from vadgen.ref.roi import Inside, Runs, cells_of, coarser, runs_of
from vadgen.ref.students import (
    MAX_CHANNELS,
    PRODUCT_BITS,
    Level,
    level_halves,
    products,
    score_cells,
)
from vadgen.sink import Sink, SinkStep

Outputs = tuple[NDArray[np.int8], ...]
Batches = Callable[[], Iterable[Outputs]]

GOOD_BITS = 16
"""The greatest product of good parts has so many bits: as many again are for defects."""
MAX_LEVELS = 8
LEAST_SHIFT, GREATEST_SHIFT = 1, PRODUCT_BITS - 32


@dataclass(frozen=True, eq=False)
class StudentTables:
    """The frozen detector: integers only.

    Attributes:
        levels: the taps, the finest first.
        shift: scores are in steps of 2^(shift - 62).
        inside: bool (rows, cols), the cells of the finest level that count.
    """

    levels: tuple[Level, ...]
    shift: int
    inside: Inside

    @property
    def scale(self) -> float:
        """The product of `1 - cos` over the levels is `score * scale`."""
        return float(2.0 ** (self.shift - PRODUCT_BITS + len(self.levels)))

    @property
    def runs(self) -> tuple[Runs, ...]:
        """The cells of each level that are looked at."""
        return tuple(runs_of(coarser(self.inside, v.rows, v.cols)) for v in self.levels)

    @property
    def flash_bytes(self) -> int:
        """Bytes of all tables."""
        return sum(runs.nbytes for runs in self.runs)

    @property
    def sink(self) -> Sink:
        """A step a level, which takes a row of the teacher and the student's."""
        n = len(self.levels)
        steps = (
            SinkStep(f"detector, level {i}", (i, i + n), (RowWindow(),) * 2, v.rows, argument=i)
            for i, v in enumerate(self.levels)
        )
        return Sink(tuple(steps), 4 * sum(v.rows * v.cols for v in self.levels))

    def score(self, outputs: Outputs) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Cells uint32 (n, rows, cols) and image scores uint32 (n,)."""
        cells = score_cells(outputs, self.levels, self.shift, self.inside)
        return cells, cells.reshape(len(cells), -1).max(axis=1)


def fit(batches: Batches, values: Sequence[Value], roi: Inside | None = None) -> StudentTables:
    """Sets the scale of the scores from int8 taps of training normals.

    Args:
        batches: gives the taps in batches: the teacher's, then the student's.
        values: the taps' shapes and quantization.
        roi: mask of the picture, True where it counts; None for all of it.

    Raises:
        VadgenError: taps that have no integer form.
    """
    tables = empty(values, roi)
    greatest = 0
    for taps in batches():
        product = products(level_halves(taps, tables.levels))
        greatest = max(greatest, int(product[:, tables.inside].max()))
    return freeze(tables.levels, greatest, tables.inside)


def freeze(levels: tuple[Level, ...], greatest: int, inside: Inside) -> StudentTables:
    """The tables whose scores of good parts have `GOOD_BITS`.

    Args:
        levels: the taps.
        greatest: product of good parts, in steps of 2^-62.
        inside: the cells of the finest level that count.
    """
    shift = min(max(greatest.bit_length() - GOOD_BITS, LEAST_SHIFT), GREATEST_SHIFT)
    return StudentTables(levels, shift, inside)


def empty(values: Sequence[Value], roi: Inside | None = None) -> StudentTables:
    """Tables of the sizes that `fit` would give: for budgets.

    Raises:
        VadgenError: too many taps or channels.
    """
    n = len(values) // 2
    pairs = list(zip(values[:n], values[n:], strict=True))
    if n > MAX_LEVELS or max(v.channels for v in values) > MAX_CHANNELS:
        raise VadgenError(
            f"{n} taps of up to {max(v.channels for v in values)} channels have no integer form",
            f"at most {MAX_LEVELS} taps of {MAX_CHANNELS} channels can be compared",
        )
    levels = tuple(Level(t.rows, t.width, t.channels, t.zero_point, s.zero_point) for t, s in pairs)
    return freeze(levels, 0, cells_of(roi, levels[0].rows, levels[0].cols))


def score_float(
    test: Iterable[Sequence[NDArray[np.floating]]], inside: Inside
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The float twin: products of `1 - cos` by cell (n, rows, cols) and image scores (n,).

    Args:
        test: float taps in batches: the teacher's, then the student's.
        inside: bool (rows, cols) of the finest level, the cells that count.
    """
    rows, cols = inside.shape
    found = []
    for taps in test:
        product = np.ones(())
        for teacher, student in zip(taps[: len(taps) // 2], taps[len(taps) // 2 :], strict=True):
            apart = np.square(_unit(teacher) - _unit(student)).sum(axis=3) / 2
            y = np.arange(rows) * apart.shape[1] // rows
            x = np.arange(cols) * apart.shape[2] // cols
            product = product * apart[:, y][:, :, x]
        found.append(product * inside)
    cells = np.concatenate(found)
    return cells, cells.reshape(len(cells), -1).max(axis=1)


def _unit(tap: NDArray[np.floating]) -> NDArray[np.float64]:
    """Vectors of length 1, or 0 where there is none."""
    wide = tap.astype(np.float64)
    unit: NDArray[np.float64] = wide / np.maximum(
        np.linalg.norm(wide, axis=3, keepdims=True), 1e-12
    )
    return unit
