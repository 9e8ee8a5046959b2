"""CFA: a trained 1x1 convolution and its centres, frozen to integer tables.

The convolution reads PatchCore's patches and the cell's place. Its outputs are put in descending
order of the centres' variance, so that the search gives most centres up early.

Source: Lee et al., "CFA: Coupled-hypersphere-based Feature Adaptation for Target-Oriented Anomaly
Localization", 2022.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadgen.detectors.patchcore import (
    Geometry,
    Outputs,
    PatchesCode,
    lay_out,
    patches_code,
    reweight_of,
    step_of,
    with_search,
    with_step,
)
from vadgen.detectors.pq import LIMIT
from vadgen.errors import Exit, VadgenError
from vadgen.lower import Value
from vadgen.ref.cfa import Convolution, score_cells
from vadgen.ref.patchcore import SCORE_BITS, queries
from vadgen.ref.reweight import Reweight, powers
from vadgen.ref.roi import Inside
from vadgen.ref.smooth import SMOOTH_BITS
from vadgen.sink import Sink

COMPRESSIONS = (2, 4, 8)
"""The paper's gamma_d: features of a cell over values of its descriptor."""
MOST_CENTRES = 1024
"""More cells are clustered to so many: the paper's compression of the bank."""
LEAST_CELLS = 6
"""Centres that the training compares a cell with."""
_MOST_BIAS, _MOST_PLACE = 1 << 29, (1 << 15) - 1


@dataclass(frozen=True)
class Sizes:
    """What a bank takes.

    Attributes:
        geometry: of the patches.
        dims: values of a descriptor.
        n_centres: of the bank.
    """

    geometry: Geometry
    dims: int
    n_centres: int

    @property
    def flash_bytes(self) -> int:
        """Bytes of all tables."""
        own = self.geometry.dims + 4 + 2 * 2 + self.n_centres  # weights, bias, places, centres
        return self.dims * own + powers().nbytes + patches_code(self.geometry).runs_bytes

    @property
    def sink(self) -> Sink:
        """The patches, and a step that describes cells and finds their centres."""
        scratch = self.dims * (4 * len(self.geometry.levels) + 1)
        steps = with_search(self.geometry, "descriptors, centres", scratch)
        return Sink(steps, 4 * self.geometry.inside.size)


@dataclass(frozen=True, eq=False)
class CfaTables:
    """The frozen detector: integers only.

    Attributes:
        geometry: windows with their scales, levels.
        convolution: makes descriptors of patches.
        centres: int8 (n, dims).
        weigh: scale of the softmin.
        scale: what a cell is in the descriptors' own units is `score * scale`.
    """

    geometry: Geometry
    convolution: Convolution
    centres: NDArray[np.int8]
    weigh: Reweight
    scale: float

    @property
    def sizes(self) -> Sizes:
        """What it takes."""
        n_centres, dims = self.centres.shape
        return Sizes(self.geometry, dims, n_centres)

    @property
    def sink(self) -> Sink:
        """See `Sizes`."""
        return self.sizes.sink

    @property
    def patches(self) -> PatchesCode:
        """Taps and levels for the template."""
        return patches_code(self.geometry)

    @property
    def powers(self) -> NDArray[np.uint16]:
        """The table of the exponential."""
        return powers()

    def score(self, outputs: Outputs) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Cells uint32 (n, rows, cols) and image scores uint32 (n,)."""
        geometry = self.geometry
        patches = queries(outputs, geometry.taps, geometry.levels)
        cells = score_cells(patches, self.convolution, self.centres, self.weigh, geometry.inside)
        return cells, cells.reshape(len(cells), -1).max(axis=1)


def sizes_for(values: Sequence[Value], flash_bytes: int, roi: Inside | None = None) -> Sizes:
    """The largest descriptors whose tables fit.

    Args:
        values: the taps, finest first.
        flash_bytes: that the tables may take.
        roi: mask of the picture, True where it counts; None for all of it.

    Raises:
        VadgenError: DOES_NOT_FIT, or a region of too few cells.
    """
    geometry = lay_out(values, roi=roi)
    cells = int(geometry.inside.sum())
    if cells < LEAST_CELLS:
        raise VadgenError(
            f"the region of interest has {cells} cells, CFA compares each with {LEAST_CELLS}",
            "a larger region, or --detector padim",
        )
    for compression in COMPRESSIONS:
        dims = -(-geometry.dims // compression)
        sizes = Sizes(geometry, dims, min(cells, MOST_CENTRES))
        if sizes.flash_bytes <= flash_bytes:
            return sizes
    raise VadgenError(
        f"CFA's tables need {sizes.flash_bytes:,} bytes of flash, {flash_bytes:,} are left",
        "a smaller --input or --width, or --detector padim needs less",
        Exit.DOES_NOT_FIT,
    )


def places_of(geometry: Geometry) -> NDArray[np.float32]:
    """Rows and columns of the cells that count from -1 to 1, (cells, 2); 0 along an axis of one."""
    rows, cols = geometry.inside.shape
    ends = (
        (2 * np.arange(n, dtype=np.float32) - n + 1) / np.float32(max(n - 1, 1))
        for n in (rows, cols)
    )
    return np.stack(np.meshgrid(*ends, indexing="ij"), axis=2)[geometry.inside]


def freeze(
    weights: NDArray[np.float32],
    bias: NDArray[np.float32],
    centres: NDArray[np.float32],
    greatest: float,
    geometry: Geometry,
) -> CfaTables:
    """Turns a trained convolution into integers.

    A step of the descriptors is a 127th of the greatest magnitude among the centres, one of the
    patches a 127th of the greatest in training.

    Args:
        weights: (dims, D + 2), those of row and column last.
        bias: (dims,).
        centres: (n, dims).
        greatest: magnitude of a feature.
        geometry: of `sizes_for`.
    """
    order = np.argsort(-centres.var(axis=0), kind="stable")
    weights, bias, centres = weights[order], bias[order], centres[:, order]
    step, patch_step = step_of(centres), step_of(np.array([greatest], np.float32))
    half_cells = np.maximum(np.array(geometry.inside.shape) - 1, 1)
    places = weights[:, -2:] / (half_cells * step)
    turn, offset = weights[:, :-2] * (patch_step / step), bias / step + 0.5
    pairs = ((turn, LIMIT), (offset, _MOST_BIAS), (places, _MOST_PLACE))
    shift = min(max(min(_bits(real, most) for real, most in pairs), 0), 30)
    integers = (
        np.clip(np.rint(real * 2.0**shift), -most, most).astype(dtype)
        for (real, most), dtype in zip(pairs, (np.int8, np.int32, np.int16), strict=True)
    )
    whole, offsets, half_places = integers
    scale = step / (1 << SCORE_BITS)
    return CfaTables(
        with_step(geometry, patch_step),
        Convolution(whole, offsets, half_places, shift),
        np.rint(centres / step).astype(np.int8),
        reweight_of(scale),
        scale / (1 << SMOOTH_BITS),
    )


def _bits(real: NDArray[np.floating], most: int) -> int:
    """Bits behind the point with which no magnitude is above `most`."""
    return math.floor(math.log2(most / max(float(np.abs(real).max()), 1e-12)))
