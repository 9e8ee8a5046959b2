"""PatchCore detectors from formulas: the cases of `tests/vectors/patchcore.json` and its like.

A case is a name, a seed, the taps' shapes, the bank's kind and sizes, and the SHA-256 of the cells
and the nearest rows of two images. All values follow from the seed by SplitMix64.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from cases import Draws
from numpy.typing import NDArray

from vadgen.detectors.patchcore import PatchcoreTables, lay_out
from vadgen.detectors.pq import Bank, FlatBank, PqBank
from vadgen.lower import Value
from vadgen.ref.reweight import Reweight
from vadgen.ref.rotate import Rotation

FOLDER = Path(__file__).parent / "vectors"
STEMS = ("patch", "pq_search", "pqnn_search", "flat_search", "rotate", "reweight", "patchcore")
N_IMAGES = 2


@dataclass(frozen=True)
class BankCase:
    """One line of a file.

    `extreme` draws from {-128, 127} alone; `reweight` is the multiplier of `ref.reweight.Reweight`
    with a shift of 12, 0 without: with one, the digest is of the image scores too.
    """

    name: str
    seed: int
    taps: tuple[tuple[int, int, int], ...]
    n_codes: int
    search: str = "adc"
    halve: bool = False
    subspaces: int = 1
    centroids: int = 16
    candidates: int = 1
    extreme: bool = False
    rotate: bool = False
    block: int = 0
    small: bool = False
    reweight: int = 0
    sha256: str = ""

    def images(self) -> tuple[NDArray[np.int8], ...]:
        """int8 (N_IMAGES, height, width, channels) a tap."""
        rng = Draws(self.seed + 1)
        return tuple(self._int8(rng, (N_IMAGES, *shape), -128) for shape in self.taps)

    def tables(self) -> PatchcoreTables:
        """The detector."""
        rng = Draws(self.seed)
        zero_points = rng.integers(-128, 128, len(self.taps))
        values = [
            Value(i, f"tap{i}", *shape, 1.0, int(z))
            for i, (shape, z) in enumerate(zip(self.taps, zero_points, strict=True))
        ]
        plain = lay_out(values, self.halve)
        taps = tuple(
            replace(
                tap,
                patch=replace(
                    tap.patch,
                    multiplier=int(rng.integers(1 << 14, 1 << 18)),
                    shift=int(rng.integers(17, 22)),
                ),
            )
            for tap in plain.taps
        )
        geometry = replace(plain, taps=taps)
        bank: Bank
        if self.search == "flat":
            bank = FlatBank(self._int8(rng, (self.n_codes, geometry.dims), -127))
        else:
            shape = (self.subspaces, self.centroids, geometry.dims // self.subspaces)
            codes = rng.integers(0, self.centroids, (self.n_codes, self.subspaces))
            bank = PqBank(self._int8(rng, shape, -127), codes.astype(np.uint8))
        rotations = tuple(self._rotation(rng, v.dims) for v in geometry.levels if self.rotate)
        weigh = Reweight(self.reweight, 12) if self.reweight else None
        return PatchcoreTables(
            geometry, bank, self.search, self.candidates, 1.0, rotations, self.small, weigh
        )

    def digest(self, cells: NDArray[Any], nearest: NDArray[Any], scores: NDArray[np.uint32]) -> str:
        """SHA-256 of the cells as uint32 and the rows as uint16, little-endian; see the class."""
        data = cells.astype("<u4").tobytes() + nearest.astype("<u2").tobytes()
        data += scores.astype("<u4").tobytes() if self.reweight else b""
        return hashlib.sha256(data).hexdigest()

    def expected(self) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.uint32]]:
        """Cells, nearest rows and image scores by the numpy reference."""
        tables = self.tables()
        found = tables.find(self.images())
        cells, scores = tables.score_found(found)
        return cells, found.rows.reshape(cells.shape), scores

    def _rotation(self, rng: Draws, dims: int) -> Rotation:
        """With sums that reach both ends of int8 and beyond."""
        limit = 1 << (12 if self.extreme else 8)
        block, order = dims, np.arange(dims)
        if self.block:
            block, order = min(self.block, dims), np.argsort(rng.integers(0, 1 << 30, dims))
        bias = np.asarray(rng.integers(-limit, limit, dims)).astype(np.int32)
        weights = self._int8(rng, (dims // block * block**2 + (dims % block) ** 2,), -127)
        shift = int(rng.integers(5, 9))
        return Rotation(order.astype(np.uint16), weights, bias, block, shift)

    def _int8(self, rng: Draws, shape: tuple[int, ...], least: int) -> NDArray[np.int8]:
        if self.extreme:
            return np.where(rng.integers(0, 2, shape) == 1, 127, least).astype(np.int8)
        return np.asarray(rng.integers(least, 128, shape)).astype(np.int8)


def load_banks(stem: str) -> list[BankCase]:
    """The cases of one file."""
    lines = json.loads((FOLDER / f"{stem}.json").read_text(encoding="utf-8"))["cases"]
    return [BankCase(**{**line, "taps": tuple(map(tuple, line["taps"]))}) for line in lines]
