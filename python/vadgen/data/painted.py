"""Defects painted on pictures of good parts, with their masks, from a seeded generator.

They stand in for the real defects that nobody has when a build starts: in the demo set, and
where a choice has to be judged on a user's held-out good pictures.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Line = tuple[_Floats, float]  # points (n, 2) as x, y and width, pixels

_SMALL = 1024  # pixels a side up to which shapes are drawn enlarged, for smooth edges
_ENLARGED = 4


def paint_defect(
    rng: np.random.Generator,
    image: NDArray[np.uint8],
    kind: str,
    texture: NDArray[np.uint8] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Paint one defect: out = image + coverage * (paint - image), coverage in [0, 1].

    Sizes follow the shorter side, contrast follows what lies below, so that a defect shows on
    any picture.

    Args:
        rng: decides place, size, shape and contrast.
        image: uint8 (height, width, 3), at least 8 pixels a side; not changed.
        kind: one of `KINDS`.
        texture: uint8 (h, w, 3), any size, shown by a "foreign" defect; made up if None.

    Returns:
        The picture, uint8 as `image`, and the mask, bool (height, width), never empty: True
        where more than half of the pixel is covered.
    """
    before = image.astype(np.float64)
    if kind == "foreign":
        coverage, paint = _foreign(rng, before, texture)
    else:
        coverage, paint = _PAINTERS[kind](rng, before)
    after = before + coverage[:, :, None] * (paint - before)
    return np.clip(np.rint(after), 0, 255).astype(np.uint8), coverage > 0.5


def _scratch(rng: np.random.Generator, before: _Floats) -> tuple[_Floats, _Floats]:
    """A long, slightly bent stroke, mostly brighter than its ground."""
    side = min(before.shape[:2])
    middle = _place(rng, before)
    angle = rng.uniform(0, np.pi)
    along = np.array([np.cos(angle), np.sin(angle)])
    half = side * rng.uniform(0.12, 0.3)
    bend = along[::-1] * [-1, 1] * half * rng.normal(0, 0.12)
    at = np.linspace(-1, 1, 25)[:, None]
    points = middle + at * along * half + (1 - at**2) * bend
    coverage = _strokes(before, [(points, _width(side, rng.uniform(0.008, 0.015)))])
    level = _contrast(rng, before, coverage, 25, 75, brighter=0.8)
    opacity = rng.uniform(0.65, 0.85)
    return coverage, before * (1 - opacity) + level * opacity


def _crack(rng: np.random.Generator, before: _Floats) -> tuple[_Floats, _Floats]:
    """A jagged line that wanders and branches, mostly darker than its ground."""
    side = min(before.shape[:2])
    width = _width(side, rng.uniform(0.008, 0.014))
    angle = rng.uniform(0, 2 * np.pi)
    trunk = _walk(rng, _place(rng, before), angle, side * rng.uniform(0.25, 0.5))
    lines = [(trunk, width)]
    for start in rng.integers(len(trunk) // 4, len(trunk), size=rng.integers(1, 4)):
        turn = rng.choice([-1, 1]) * rng.uniform(0.4, 1.1)
        lines.append(
            (_walk(rng, trunk[start], angle + turn, side * rng.uniform(0.06, 0.15)), width)
        )
    coverage = _strokes(before, lines)
    level = _contrast(rng, before, coverage, 25, 75, brighter=0.1)
    return coverage, np.broadcast_to(level, before.shape)


def _stain(rng: np.random.Generator, before: _Floats) -> tuple[_Floats, _Floats]:
    """A soft-edged patch through which the ground still shows, tinted."""
    side = min(before.shape[:2])
    coverage = _blob(rng, before, rng.uniform(0.06, 0.12), roughness=0.15)
    soft = _blurred(coverage, side * 0.012)
    level = _contrast(rng, before, coverage, 25, 70, brighter=0.25)
    tint = level + rng.uniform(-12, 12, 3)
    return soft, before * 0.25 + tint * 0.75


def _missing(rng: np.random.Generator, before: _Floats) -> tuple[_Floats, _Floats]:
    """A chip broken out: a sharp edge, one side of it in shadow, a rough bottom."""
    side = min(before.shape[:2])
    coverage = _blob(rng, before, rng.uniform(0.035, 0.08), roughness=0.22)
    level = _contrast(rng, before, coverage, 20, 50, brighter=0.2)
    shadow = coverage - np.roll(coverage, rng.choice([-1, 1], 2) * _pixels(side, 0.02), (0, 1))
    rough = _noise(rng, before.shape, side * 0.01) * 8
    return coverage, level + rough - 30 * np.clip(_blurred(shadow, 1), 0, 1)[:, :, None]


def _foreign(
    rng: np.random.Generator, before: _Floats, texture: NDArray[np.uint8] | None
) -> tuple[_Floats, _Floats]:
    """A piece of another material, about as bright as its ground."""
    coverage = _blob(rng, before, rng.uniform(0.045, 0.09), roughness=0.12)
    pattern = _weave(rng, before) if texture is None else _cut(rng, before, texture)
    return coverage, _contrast(rng, before, coverage, 10, 40, brighter=0.5) + pattern


_PAINTERS: dict[str, Callable[[np.random.Generator, _Floats], tuple[_Floats, _Floats]]] = {
    "scratch": _scratch,
    "crack": _crack,
    "stain": _stain,
    "missing": _missing,
}
KINDS = (*_PAINTERS, "foreign")


def _place(rng: np.random.Generator, before: _Floats) -> _Floats:
    """x, y of a point away from the border, where a picture often shows no part."""
    height, width = before.shape[:2]
    return rng.uniform(0.2, 0.8, 2) * (width, height)


def _pixels(side: int, share: float) -> int:
    return max(1, round(side * share))


def _width(side: int, share: float) -> float:
    """Width of a stroke; 1.5 pixels always cover some pixel by more than half."""
    return max(1.5, side * share)


def _contrast(
    rng: np.random.Generator,
    before: _Floats,
    coverage: _Floats,
    least: float,
    most: float,
    brighter: float,
) -> _Floats:
    """Colour (3,): the mean of what lies below, brighter or darker by least..most gray levels."""
    ground = before[coverage > 0.5].mean(axis=0)
    step = rng.uniform(least, most)
    up = ground.mean() + step <= 255 and (rng.random() < brighter or ground.mean() - step < 0)
    return np.asarray(ground + (step if up else -step), np.float64)


def _walk(rng: np.random.Generator, start: _Floats, angle: float, length: float) -> _Floats:
    """Points (n, 2) of a jagged path: the heading is a mean-reverting random walk."""
    steps = 24
    headings = np.empty(steps)
    turn = 0.0
    for i in range(steps):
        turn = 0.7 * turn + rng.normal(0, 0.4)
        headings[i] = angle + turn
    moves = np.stack([np.cos(headings), np.sin(headings)], axis=1) * (length / steps)
    return np.vstack([start, start + np.cumsum(moves, axis=0)])


def _strokes(before: _Floats, lines: list[_Line]) -> _Floats:
    """Coverage (height, width) of polylines."""
    from PIL import Image, ImageDraw

    height, width, zoom = _sheet(before)
    sheet = Image.new("L", (width * zoom, height * zoom))
    draw = ImageDraw.Draw(sheet)
    for points, thickness in lines:
        at = [tuple(point) for point in points * zoom]
        draw.line(at, fill=255, width=round(thickness * zoom), joint="curve")
    return np.asarray(sheet.reduce(zoom), np.float64) / 255


def _blob(rng: np.random.Generator, before: _Floats, radius: float, roughness: float) -> _Floats:
    """Coverage (height, width) of a closed shape whose radius varies smoothly with the angle."""
    from PIL import Image, ImageDraw

    height, width, zoom = _sheet(before)
    mean = max(2.0, min(height, width) * radius)
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    radii = np.ones(72)
    for order in range(2, 8):
        radii += roughness / order * 2 * rng.normal() * np.cos(order * angle + rng.uniform(0, 6.3))
    radii = mean * np.clip(radii, 0.7, 1.6)
    stretch = np.array([1.0, rng.uniform(0.75, 1.35)])
    points = _place(rng, before) + radii[:, None] * stretch * np.stack(
        [np.cos(angle), np.sin(angle)], axis=1
    )
    sheet = Image.new("L", (width * zoom, height * zoom))
    ImageDraw.Draw(sheet).polygon([tuple(point) for point in points * zoom], fill=255)
    return np.asarray(sheet.reduce(zoom), np.float64) / 255


def _sheet(before: _Floats) -> tuple[int, int, int]:
    """Height, width and how many times larger shapes are drawn."""
    height, width = before.shape[:2]
    return height, width, _ENLARGED if max(height, width) <= _SMALL else 1


def _blurred(plane: _Floats, sigma: float) -> _Floats:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(plane, sigma, mode="nearest"), np.float64)


def _noise(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> _Floats:
    """Gray noise (height, width, 1) of unit deviation, smooth over sigma pixels."""
    plane = _blurred(rng.normal(size=shape[:2]), max(sigma, 0.3))
    return plane[:, :, None] / max(float(plane.std()), 1e-9)


def _cut(rng: np.random.Generator, before: _Floats, texture: NDArray[np.uint8]) -> _Floats:
    """A piece (height, width, 3) of a texture, repeated where it is too small, around 0."""
    height, width = before.shape[:2]
    top, left = rng.integers(0, texture.shape[:2])
    rows = np.arange(top, top + height) % texture.shape[0]
    columns = np.arange(left, left + width) % texture.shape[1]
    contrast = rng.uniform(0.4, 0.8)
    return np.asarray((texture[np.ix_(rows, columns)] - texture.mean()) * contrast, np.float64)


def _weave(rng: np.random.Generator, before: _Floats) -> _Floats:
    """Gray pattern (height, width, 1) around 0 of two crossing waves, as of cloth, and dirt."""
    height, width = before.shape[:2]
    y, x = np.mgrid[:height, :width]
    angle = rng.uniform(0, np.pi)
    pitch = max(2.5, min(height, width) * rng.uniform(0.02, 0.04))
    u = (x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / pitch)
    v = (y * np.cos(angle) - x * np.sin(angle)) * (2 * np.pi / pitch)
    waves: _Floats = (np.sin(u) + np.sin(v))[:, :, None] * rng.uniform(10, 20)
    return waves + 10 * _noise(rng, before.shape, pitch / 4)
