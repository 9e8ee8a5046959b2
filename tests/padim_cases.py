"""Full-covariance PaDiM from formulas: the cases of `tests/vectors/padim_full.json`.

A case is a name, a seed, the taps' shapes, the features of a cell, and the SHA-256 of the cells of
two images. Tables and images follow from the seed by SplitMix64.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cases import Draws
from numpy.typing import NDArray

from vadgen.detectors.padim_full import PadimFullTables
from vadgen.ref.padim_full import FullCells, FullTap

PATH = Path(__file__).parent / "vectors" / "padim_full.json"
N_IMAGES = 2


@dataclass(frozen=True)
class PadimCase:
    """One line of the file; the last tap is the coarsest."""

    name: str
    seed: int
    taps: tuple[tuple[int, int, int], ...]
    features: int
    sha256: str = ""

    def images(self) -> tuple[NDArray[np.int8], ...]:
        """int8 (N_IMAGES, height, width, channels) a tap."""
        rng = Draws(self.seed + 1)
        return tuple(
            rng.integers(-128, 128, (N_IMAGES, *shape)).astype(np.int8) for shape in self.taps
        )

    def tables(self) -> PadimFullTables:
        """Tables within the bounds that `freeze` keeps."""
        rng = Draws(self.seed)
        rows, cols, _ = self.taps[-1]
        taps = []
        for height, _, channels in self.taps:
            window = height // rows
            most = min(2**30 // (128 * window**2 * channels), 32767)
            weight = rng.integers(-most, most + 1, (channels, self.features)).astype(np.int16)
            bias = rng.integers(-(2**30), 2**30, (self.features,)).astype(np.int32)
            taps.append(FullTap(window, weight, bias, int(rng.integers(14, 18))))
        n = rows * cols
        square = (n, self.features, self.features)
        cells = FullCells(
            rng.integers(-4096, 4097, (n, self.features)).astype(np.int16),
            np.tril(rng.integers(-127, 128, square), -1).astype(np.int8),
            rng.integers(0, 8, (n,)).astype(np.uint8),
            rng.integers(0, 65536, (n, self.features)).astype(np.uint16),
            int(rng.integers(20, 28)),
        )
        return PadimFullTables(tuple(taps), cells, np.ones((rows, cols), np.bool_))


def padim_digest(cells: NDArray[np.uint32]) -> str:
    """SHA-256 of the cells, little-endian."""
    return hashlib.sha256(cells.astype("<u4").tobytes()).hexdigest()


def load_padim() -> list[PadimCase]:
    """The cases of the file."""
    lines = json.loads(PATH.read_text(encoding="utf-8"))["cases"]
    return [PadimCase(**{**line, "taps": tuple(map(tuple, line["taps"]))}) for line in lines]
