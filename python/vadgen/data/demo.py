"""The demo set: brickwork under inspection, made from photographs in scikit-image's wheel.

Nothing is downloaded. The camera looks straight down on one photograph (brick, CC0) and always
stops at the same phase of the bond, as on an indexed line; it shakes, turns and flickers a little.
Every picture has dust and soot of its own, so that, as with real parts, no picture is a second look
at another: the threshold of the training bricks then holds for the test bricks too.
Training and test pictures show parts of the brickwork that do not touch. Defects are painted; a
piece of another material comes from two other photographs (gravel and grass, CC0).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vadgen.data.dataset import GOOD
from vadgen.data.painted import KINDS, paint_defect
from vadgen.errors import VadgenError

SIDE = 256
N_TRAIN = 100
N_TEST_GOOD = 30
N_EACH_DEFECT = 8

# Plane of the bricks (u across the courses, v along them) to pixels of the photograph, which was
# taken at a slant: fitted by making the courses parallel.
_TO_PHOTO = np.array([[0.85583, -0.12523, 32.060], [0.0, 0.71167, 36.906], [0.0, -0.00056315, 1.0]])
_COURSE = 35.45  # distance of courses in u; course i lies at _FIRST_COURSE + i * _COURSE
_FIRST_COURSE = 21.5
_HALF_BRICK = 57.9  # distance of possible joints in v
_JOINTS = (30.0, 3.0)  # first joint of even and of odd courses
_DUST = 0.15  # deviation of the light that dust and soot take or give
_VIEW = 178.0  # side of a picture in the plane: five courses
_TRAIN_COURSES = (9, 10)  # courses that may be in the middle of a picture
_TEST_COURSES = (2, 3)


def write_demo(out: Path, seed: int) -> None:
    """Write the demo set in MVTec layout: 100 good to train, 30 good and 5 x 8 defects to test.

    The same seed gives the same pictures, each from a generator of its own. The folder appears
    whole or not at all.

    Args:
        out: folder to make; must not exist, or be empty.
        seed: any int >= 0.

    Raises:
        VadgenError: the seed is negative, or `out` is in use or cannot be written.
    """
    if seed < 0:
        raise VadgenError(f"seed {seed} is negative", "any whole number from 0 on is a seed")
    out = out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise VadgenError(f"{out} exists and is not an empty folder", "name a folder of its own")
    aside = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        _write(aside, seed)
        aside.replace(out)
    except OSError as error:
        raise VadgenError(
            f"cannot write the demo set to {out}: {error.strerror}",
            "free some space (20 MB), or name a folder that can be written",
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write(root: Path, seed: int) -> None:
    """Draw and save every picture and mask."""
    scene = _scene()
    counts = {f"train/{GOOD}": N_TRAIN, f"test/{GOOD}": N_TEST_GOOD}
    counts |= {f"test/{kind}": N_EACH_DEFECT for kind in KINDS}
    for group, (folder, count) in enumerate(counts.items()):
        (root / folder).mkdir(parents=True)
        kind = folder.partition("/")[2]
        truth = root / "ground_truth" / kind
        if kind != GOOD:
            truth.mkdir(parents=True)
        courses = _TRAIN_COURSES if folder.startswith("train") else _TEST_COURSES
        for i in range(count):
            rng = np.random.default_rng([seed, group, i])
            image = _photograph(rng, scene, courses)
            if kind != GOOD:
                texture = scene.foreign[i % len(scene.foreign)]
                image, mask = paint_defect(rng, image, kind, texture)
                _save(truth / f"{i:03}_mask.png", mask.astype(np.uint8) * 255)
            _save(root / folder / f"{i:03}.png", image)


@dataclass(frozen=True, eq=False)
class _Scene:
    """uint8: the brickwork (512, 512), and what foreign pieces are cut from (512, 512, 3)."""

    brickwork: NDArray[np.uint8]
    foreign: tuple[NDArray[np.uint8], ...]


def _scene() -> _Scene:
    from skimage import data

    gray = {name: np.asarray(getattr(data, name)()) for name in ("brick", "gravel", "grass")}
    foreign = (gray["gravel"], gray["grass"])
    return _Scene(gray["brick"], tuple(np.repeat(g[:, :, None], 3, axis=2) for g in foreign))


def _photograph(
    rng: np.random.Generator, scene: _Scene, courses: tuple[int, ...]
) -> NDArray[np.uint8]:
    """One picture, uint8 (SIDE, SIDE, 3), with a middle course out of `courses`."""
    from PIL import Image

    stops = _stops(courses)
    centre = stops[rng.integers(len(stops))] + rng.normal(0, 0.8, 2)
    to_photo = _TO_PHOTO @ _pose(rng, centre)
    seen = Image.fromarray(scene.brickwork).transform(
        (SIDE, SIDE),
        Image.Transform.PERSPECTIVE,
        tuple((to_photo / to_photo[2, 2]).ravel()[:8]),
        Image.Resampling.BICUBIC,
    )
    return _exposed(rng, np.asarray(seen, np.float64))


def _stops(courses: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """Centres (u, v) at the bond's phase from which the whole view lies in the photograph."""
    stops = []
    for course in courses:
        for joint in range(9):
            v = _JOINTS[course % 2] + joint * _HALF_BRICK
            centre = np.array([_FIRST_COURSE + course * _COURSE, v])
            reach = _VIEW / 2 + 4  # shaking and turning included
            corners = [centre + [du, dv] for du in (-reach, reach) for dv in (-reach, reach)]
            at = np.array([_TO_PHOTO @ [*corner, 1] for corner in corners])
            at = at[:, :2] / at[:, 2:]
            if at.min() >= 1 and at.max() <= 511:
                stops.append(centre)
    return stops


def _pose(rng: np.random.Generator, centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrix (3, 3) from the picture's x, y to u, v: courses lie level; mirrored or not."""
    scale = _VIEW / SIDE * (1 + rng.normal(0, 0.005))
    angle = np.deg2rad(rng.normal(0, 0.2))
    mirror_u, mirror_v = rng.choice([-1, 1], 2)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[mirror_u * sin, mirror_u * cos], [mirror_v * cos, -mirror_v * sin]])
    pose = np.eye(3)
    pose[:2, :2] = turn
    pose[:2, 2] = centre - turn @ [SIDE / 2, SIDE / 2]
    return pose


def _exposed(rng: np.random.Generator, gray: NDArray[np.float64]) -> NDArray[np.uint8]:
    """What the camera makes of light (SIDE, SIDE): dust, tone, lamp, gain, white balance, noise."""
    gray = gray * (1 + _DUST * _clouds(rng))
    toned = np.where(gray > 95, 95 + (gray - 95) / 2, gray)  # or the joints outshine every defect
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    lamp_x, lamp_y = rng.normal(0, 0.03, 2)
    lit = toned * 1.35 * rng.uniform(0.97, 1.03) * (1 + lamp_x * x + lamp_y * y)
    balance = 1 + rng.normal(0, 0.003, 3)
    seen = (lit - 12 + rng.uniform(-3, 3))[:, :, None] * balance
    noisy = seen + 2 * rng.standard_normal(seen.shape, np.float32)
    return np.asarray(np.clip(np.rint(noisy), 0, 255), np.uint8)


def _clouds(rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise (SIDE, SIDE) of mean 0 and deviation 1, finest at 4 pixels, coarser ever stronger."""
    fy, fx = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)
    frequency = np.hypot(fy, fx)
    shape = np.exp(-np.square(4 * frequency)) / np.maximum(frequency, 8 / SIDE)
    clouds = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((SIDE, SIDE))) * shape, (SIDE, SIDE))
    centred = clouds - clouds.mean()
    return np.asarray(centred / centred.std())


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    from PIL import Image

    Image.fromarray(pixels).save(path, "PNG", compress_level=1)
