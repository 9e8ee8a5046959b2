"""A region of interest on a grid of cells: which cells count, and their runs along its lines.

C twin: `firmware/lib/vad_detect/include/vad_runs.h`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Inside = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Runs:
    """Neighbouring cells that count, line by line; all uint16.

    Attributes:
        start: (lines + 1,) the first run of each line, then the number of runs.
        first: (runs,) the run's first cell of its line.
        end: (runs,) the cell after its last.
        cell: (runs,) cells that count before the run, over all lines.
    """

    start: NDArray[np.uint16]
    first: NDArray[np.uint16]
    end: NDArray[np.uint16]
    cell: NDArray[np.uint16]

    @property
    def nbytes(self) -> int:
        """Bytes of the four tables."""
        return self.start.nbytes + self.first.nbytes + self.end.nbytes + self.cell.nbytes


def cells_of(mask: Inside | None, rows: int, cols: int) -> Inside:
    """The cells of a rows x cols grid over the whole mask in which it has any pixel.

    A mask of None stands for everything.
    """
    if mask is None:
        return np.ones((rows, cols), np.bool_)
    height, width = mask.shape

    def spans(n: int, pixels: int) -> list[slice]:
        return [slice(i * pixels // n, -(-(i + 1) * pixels // n)) for i in range(n)]

    return np.array(
        [[bool(mask[y, x].any()) for x in spans(cols, width)] for y in spans(rows, height)]
    )


def coarser(inside: Inside, rows: int, cols: int) -> Inside:
    """Cells of a coarser grid that nearest repetition brings to any cell inside."""
    y = np.arange(inside.shape[0]) * rows // inside.shape[0]
    x = np.arange(inside.shape[1]) * cols // inside.shape[1]
    out = np.zeros((rows, cols), np.bool_)
    np.logical_or.at(out, (y[:, None], x[None]), inside)
    return out


def runs_of(inside: Inside) -> Runs:
    """The runs along the rows of `inside`; of its transpose, along the columns."""
    edges = np.diff(np.pad(inside, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    lines, first = np.nonzero(edges > 0)
    end = np.nonzero(edges < 0)[1]
    start = np.searchsorted(lines, np.arange(len(inside) + 1))
    cell = np.cumsum(end - first) - (end - first)
    return Runs(*(a.astype(np.uint16) for a in (start, first, end, cell)))


def shifted(cells: np.ndarray, inside: Inside, axis: int, by: int) -> np.ndarray:
    """The cell `by` further along an axis of (n, rows, cols), or the end of its run.

    Cells outside are left as they are.
    """
    lines = np.moveaxis(inside, axis - 1, 0)
    at = np.arange(len(lines))[:, None]
    left_out = ~lines
    starts = lines & np.pad(left_out, ((1, 0), (0, 0)), constant_values=True)[:-1]
    ends = lines & np.pad(left_out, ((0, 1), (0, 0)), constant_values=True)[1:]
    first = np.maximum.accumulate(np.where(starts, at, 0), axis=0)
    last = np.minimum.accumulate(np.where(ends, at, len(lines))[::-1], axis=0)[::-1]
    index = np.where(lines, np.clip(at + by, first, last), at)
    return np.take_along_axis(cells, np.moveaxis(index, 0, axis - 1)[None], axis=axis)
