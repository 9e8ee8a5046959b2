"""Teacher and student from formulas: the cases of `tests/vectors/students.json`.

A case is a name, a seed, the levels' shapes, the scores' shift, and the SHA-256 of the cells of two
images. Zero points, images and region follow from the seed by SplitMix64.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cases import Draws
from numpy.typing import NDArray

from vadgen.detectors.students import StudentTables
from vadgen.ref.students import Level

PATH = Path(__file__).parent / "vectors" / "students.json"
N_IMAGES = 2


@dataclass(frozen=True)
class StudentsCase:
    """One line of the file; the first level is the finest.

    Attributes:
        apart: most that a student's byte differs from the teacher's; 255 for drawn bytes.
    """

    name: str
    seed: int
    levels: tuple[tuple[int, int, int], ...]
    shift: int
    apart: int
    region: bool = False
    sha256: str = ""

    def images(self) -> tuple[NDArray[np.int8], ...]:
        """int8 (N_IMAGES, rows, cols, channels): the teacher's taps, then the student's."""
        rng = Draws(self.seed + 1)
        shapes = [(N_IMAGES, *shape) for shape in self.levels]
        teacher = [rng.integers(-128, 128, shape) for shape in shapes]
        off = [rng.integers(-self.apart, self.apart + 1, shape) for shape in shapes]
        student = [np.clip(t + d, -128, 127) for t, d in zip(teacher, off, strict=True)]
        return tuple(tap.astype(np.int8) for tap in (*teacher, *student))

    def tables(self) -> StudentTables:
        """Levels with drawn zero points."""
        rng = Draws(self.seed)
        levels = tuple(
            Level(*shape, int(rng.integers(-128, 128)), int(rng.integers(-128, 128)))
            for shape in self.levels
        )
        shape = self.levels[0][:2]
        inside = rng.integers(0, 3, shape) > 0 if self.region else np.ones(shape, np.bool_)
        return StudentTables(levels, self.shift, inside)


def students_digest(cells: NDArray[np.uint32]) -> str:
    """SHA-256 of the cells, little-endian."""
    return hashlib.sha256(cells.astype("<u4").tobytes()).hexdigest()


def load_students() -> list[StudentsCase]:
    """The cases of the file."""
    lines = json.loads(PATH.read_text(encoding="utf-8"))["cases"]
    return [StudentsCase(**{**line, "levels": tuple(map(tuple, line["levels"]))}) for line in lines]
