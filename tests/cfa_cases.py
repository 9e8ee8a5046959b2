"""CFA detectors from formulas: the cases of `tests/vectors/cfa.json`.

A case is a name, a seed, the taps' shapes, the sizes of the bank, and the SHA-256 of the cells of
two images. Windows, tables, images and region follow from the seed by SplitMix64.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from cases import Draws
from numpy.typing import NDArray

from vadgen.detectors.cfa import CfaTables
from vadgen.detectors.patchcore import lay_out
from vadgen.lower import Value
from vadgen.ref.cfa import Convolution
from vadgen.ref.reweight import Reweight

PATH = Path(__file__).parent / "vectors" / "cfa.json"
N_IMAGES = 2


@dataclass(frozen=True)
class CfaCase:
    """One line of the file.

    Attributes:
        spread: magnitude of the centres' values, 127 at most; 0 makes all centres equal.
        extreme: whether all bytes are the least and the greatest.
        weigh: multiplier of the exponential, with a shift of 12.
    """

    name: str
    seed: int
    taps: tuple[tuple[int, int, int], ...]
    dims: int
    n_centres: int
    spread: int = 127
    weigh: int = 900
    extreme: bool = False
    region: bool = False
    sha256: str = ""

    def images(self) -> tuple[NDArray[np.int8], ...]:
        """int8 (N_IMAGES, rows, cols, channels) a tap."""
        rng = Draws(self.seed + 1)
        return tuple(self._int8(rng, (N_IMAGES, *shape), -128, 127) for shape in self.taps)

    def tables(self) -> CfaTables:
        """The detector."""
        rng = Draws(self.seed)
        zeros = rng.integers(-128, 128, len(self.taps))
        values = [
            Value(i, f"tap {i}", *shape, 1.0, int(zero))
            for i, (shape, zero) in enumerate(zip(self.taps, zeros, strict=True))
        ]
        roi = rng.integers(0, 3, self.taps[0][:2]) > 0 if self.region else None
        plain = lay_out(values, False, roi)
        taps = tuple(
            replace(tap, patch=replace(tap.patch, multiplier=1 << 16, shift=18))
            for tap in plain.taps
        )
        geometry = replace(plain, taps=taps)
        limit = (1 << 29) if self.extreme else 1 << 12
        convolution = Convolution(
            self._int8(rng, (self.dims, geometry.dims), -127, 127),
            rng.integers(-limit, limit + 1, self.dims).astype(np.int32),
            rng.integers(-300, 301, (self.dims, 2)).astype(np.int16),
            0 if self.extreme else 8,
        )
        centres = self._int8(rng, (self.n_centres, self.dims), -self.spread, self.spread)
        return CfaTables(geometry, convolution, centres, Reweight(self.weigh, 12), 1.0)

    def _int8(self, rng: Draws, shape: tuple[int, ...], low: int, high: int) -> NDArray[np.int8]:
        if self.extreme:
            return np.where(rng.integers(0, 2, shape) > 0, high, low).astype(np.int8)
        return rng.integers(low, high + 1, shape).astype(np.int8)


def cfa_digest(cells: NDArray[np.uint32]) -> str:
    """SHA-256 of the cells, little-endian."""
    return hashlib.sha256(cells.astype("<u4").tobytes()).hexdigest()


def load_cfa() -> list[CfaCase]:
    """The cases of the file."""
    lines = json.loads(PATH.read_text(encoding="utf-8"))["cases"]
    return [CfaCase(**{**line, "taps": tuple(map(tuple, line["taps"]))}) for line in lines]
