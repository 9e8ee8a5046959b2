"""CFA's convolution, trained on what a build's cells hold: as int8 taps tell it, or in floats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vadgen.detectors.cfa import (
    MOST_CENTRES,
    CfaTables,
    Sizes,
    freeze,
    places_of,
    sizes_for,
)
from vadgen.detectors.patchcore import features
from vadgen.lower import Value
from vadgen.pipeline.cache import Outputs
from vadgen.progress import Progress
from vadgen.recipe import Recipe
from vadgen.ref.roi import Inside
from vadgen.ref.smooth import SMOOTH_BITS, smooth

if TYPE_CHECKING:
    from vadgen.benchmark.methods.cfa import Spheres

Cells = NDArray[np.float32]  # (n, cells, D)


def fit_cfa(
    recipe: Recipe,
    values: Sequence[Value],
    batches: Callable[[], Iterable[Outputs]],
    table_bytes: int,
    roi: Inside | None,
    progress: Progress,
) -> CfaTables:
    """Trains on int8 taps and freezes.

    Args:
        recipe: its seed and epochs.
        values: the taps' shapes and quantization, finest first.
        batches: gives the taps of training pictures, which are held as int8 while it trains.
        table_bytes: flash that the tables may take.
        roi: mask of the picture, True where it counts; None for all of it.
        progress: told the loss.

    Raises:
        VadgenError: DOES_NOT_FIT, a region of too few cells, or a loss that is no number.
    """
    sizes = sizes_for(values, table_bytes, roi)
    taps = tuple(np.concatenate(parts) for parts in zip(*batches(), strict=True))
    greatest = 0.0

    def read(chosen: NDArray[np.int64]) -> Cells:
        nonlocal greatest
        cells = features(tuple(tap[chosen] for tap in taps), sizes.geometry)
        greatest = max(greatest, float(np.abs(cells).max()))
        return cells

    spheres = _learned(recipe, sizes, read, len(taps[0]), progress)
    arrays = spheres.weights.numpy(), spheres.bias.numpy(), spheres.centres.numpy().T
    return freeze(*arrays, greatest, sizes.geometry)


def float_cells(
    recipe: Recipe,
    tables: CfaTables,
    read: Callable[[NDArray[np.int64]], Cells],
    count: int,
    test: Iterable[Cells],
    progress: Progress,
) -> NDArray[np.float64]:
    """Smoothed cells (n, rows, cols) of test pictures by a float convolution of the same sizes.

    Args:
        recipe: its seed and epochs.
        tables: of what ships.
        read: float features of some training pictures, by their places.
        count: of training pictures.
        test: float features in batches.
        progress: told the loss.
    """
    sizes = tables.sizes
    spheres = _learned(recipe, sizes, read, count, progress)
    cells = np.concatenate([spheres.cells(_placed(batch, sizes)) for batch in test])
    maps = np.zeros((len(cells), *sizes.geometry.inside.shape))
    maps[:, sizes.geometry.inside] = cells
    smoothed: NDArray[np.float64] = smooth(maps, sizes.geometry.inside) / (1 << SMOOTH_BITS)
    return smoothed


def _learned(
    recipe: Recipe,
    sizes: Sizes,
    read: Callable[[NDArray[np.int64]], Cells],
    count: int,
    progress: Progress,
) -> Spheres:
    from vadgen.benchmark.methods.cfa import EPOCHS, learn

    return learn(
        lambda chosen: _placed(read(chosen), sizes),
        count,
        recipe.seed,
        progress,
        epochs=recipe.student.epochs or EPOCHS,
        dims=sizes.dims,
        most_centres=MOST_CENTRES,
    )


def _placed(cells: Cells, sizes: Sizes) -> Cells:
    """The features and the cells' places, (n, cells, D + 2)."""
    places = np.broadcast_to(places_of(sizes.geometry), (*cells.shape[:2], 2))
    return np.concatenate([cells, places], axis=2)
