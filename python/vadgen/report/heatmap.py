"""Where a picture is unusual, painted over the picture: one scale for all pictures of a build.

The colour depends on a cell's score divided by the threshold and on nothing else, so maps can be
compared: below half of the threshold a picture is left as it is, and the cells above it, which
made the decision, stand inside a white line.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

STOPS = (
    (0.5, (255, 226, 120), 0.0),
    (1.0, (255, 140, 20), 0.55),
    (1.5, (222, 36, 40), 0.7),
    (3.0, (120, 0, 110), 0.8),
)
"""(score / threshold, red green blue, opacity), rising; constant beyond the ends."""

_GREY = 110
_WHITE = (255, 255, 255)
_BLUE = (60, 170, 255)


def upsample(cells: NDArray[Any], height: int, width: int) -> NDArray[np.float64]:
    """The map of cells at the size of the picture, bilinear between the centres of cells.

    Args:
        cells: (rows, columns), any number type.
        height: of the picture in pixels.
        width: of the picture in pixels.

    Returns:
        (height, width) float64.
    """
    rows, columns = cells.shape
    right = upsample_matrix(columns, width).T
    return upsample_matrix(rows, height) @ cells.astype(np.float64) @ right


def upsample_matrix(n_cells: int, n_pixels: int) -> NDArray[np.float64]:
    """(n_pixels, n_cells), the weight of each cell in each pixel along one axis; rows sum to 1."""
    at = np.clip((np.arange(n_pixels) + 0.5) * n_cells / n_pixels - 0.5, 0, n_cells - 1)
    return np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(n_cells)))


def pixels_of(cells: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Cells (rows, columns) at the size of the picture, each pixel its cell's value."""
    rows = np.arange(height) * cells.shape[0] // height
    columns = np.arange(width) * cells.shape[1] // width
    return cells[np.ix_(rows, columns)]


def map_of(
    cells: NDArray[Any], inside: NDArray[np.bool_], height: int, width: int
) -> NDArray[np.float64]:
    """As `upsample`, from the cells inside alone; 0 where there is none near."""
    summed = upsample(cells * inside, height, width)
    if inside.all():
        return summed
    weight = upsample(inside, height, width)
    return np.divide(summed, weight, out=np.zeros_like(summed), where=weight > 1e-9)


def overlay(
    photo: NDArray[np.uint8],
    cells: NDArray[Any],
    threshold: int,
    inside: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """The picture with its map over it; what is not looked at is grey.

    Args:
        photo: (height, width, 3) uint8 RGB.
        cells: (rows, columns) scores on the threshold's scale.
        threshold: a cell above it makes the picture a defect.
        inside: (rows, columns) bool, the cells that count; None for all.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    height, width, _ = photo.shape
    counted = np.ones(cells.shape, np.bool_) if inside is None else inside
    ratio = map_of(cells, counted, height, width) / max(threshold, 1)
    at = [stop[0] for stop in STOPS]
    opacity = np.interp(ratio, at, [stop[2] for stop in STOPS])[..., None]
    colour = np.stack(
        [np.interp(ratio, at, [stop[1][channel] for stop in STOPS]) for channel in range(3)],
        axis=-1,
    )
    mixed = np.rint(photo * (1.0 - opacity) + colour * opacity).astype(np.uint8)
    left_out = ~pixels_of(counted, height, width)
    grey = photo[left_out].mean(axis=1, keepdims=True) / 3
    mixed[left_out] = np.rint(grey + _GREY).astype(np.uint8)
    return outline(mixed, pixels_of(cells > threshold, height, width), _WHITE)


def outline(
    photo: NDArray[np.uint8], region: NDArray[np.bool_], colour: tuple[int, int, int] = _BLUE
) -> NDArray[np.uint8]:
    """The picture with a line around a region, such as a labelled defect.

    Args:
        photo: (height, width, 3) uint8 RGB.
        region: (height, width) bool; the line is drawn just outside it.
        colour: red, green, blue.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    grown = region
    for _ in range(max(1, round(min(region.shape) / 160))):
        padded = np.pad(grown, 1)
        grown = grown | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    drawn = photo.copy()
    drawn[grown & ~region] = colour
    return drawn


def to_png(image: NDArray[np.uint8]) -> bytes:
    """A PNG file of (height, width, 3) or (height, width) uint8; same pixels, same bytes."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG", optimize=True)
    return file.getvalue()
