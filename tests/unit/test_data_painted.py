"""Painted defects: they show on any picture, at any size, where the mask says and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vadgen.data.painted import KINDS, paint_defect


def grounds(height: int, width: int) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(5).integers(0, 256, (height, width, 3), np.uint8)
    return {
        "black": np.zeros((height, width, 3), np.uint8),
        "gray": np.full((height, width, 3), 120, np.uint8),
        "white": np.full((height, width, 3), 255, np.uint8),
        "noise": noise,
    }


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(KINDS),
    ground=st.sampled_from(["black", "gray", "white", "noise"]),
    height=st.integers(8, 140),
    width=st.integers(8, 140),
)
def test_a_defect_shows_inside_its_mask(
    seed: int, kind: str, ground: str, height: int, width: int
) -> None:
    before = grounds(height, width)[ground]
    kept = before.copy()
    after, mask = paint_defect(np.random.default_rng(seed), before, kind)
    assert np.array_equal(before, kept)
    assert after.shape == before.shape and after.dtype == np.uint8
    assert mask.shape == before.shape[:2] and mask.dtype == np.bool_
    changed = np.abs(after.astype(int) - before).max(axis=2)
    assert changed[mask].mean() >= 6
    assert 0 < mask.mean() < 0.35


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_changes_far_from_the_mask(kind: str) -> None:
    from scipy.ndimage import binary_dilation

    for seed in range(10):
        before = grounds(128, 160)["noise"]
        after, mask = paint_defect(np.random.default_rng(seed), before, kind)
        far = ~binary_dilation(mask, iterations=10)
        assert np.array_equal(after[far], before[far])


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides(kind: str) -> None:
    before = grounds(64, 64)["gray"]
    first, mask = paint_defect(np.random.default_rng(1), before, kind)
    again, same = paint_defect(np.random.default_rng(1), before, kind)
    other, _ = paint_defect(np.random.default_rng(2), before, kind)
    assert np.array_equal(first, again) and np.array_equal(mask, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("kind", KINDS)
def test_large_pictures(kind: str) -> None:
    before = grounds(1100, 1300)["gray"]
    after, mask = paint_defect(np.random.default_rng(0), before, kind)
    assert mask.any()
    assert np.abs(after[mask].astype(int) - 120).mean() > 6


def test_foreign_material_shows_the_texture_given() -> None:
    before = grounds(96, 96)["gray"]
    stripes = np.zeros((7, 5, 3), np.uint8)
    stripes[:, :2] = 255
    after, mask = paint_defect(np.random.default_rng(0), before, "foreign", stripes)
    inside = after[mask].astype(int)
    assert np.ptp(inside[:, 0]) > 80
    assert len(np.unique(inside[:, 0])) < 40  # two levels, and the rim


def test_the_mask_covers_what_was_drawn_within_a_pixel() -> None:
    before = grounds(128, 128)["gray"]
    for seed in range(5):
        after, mask = paint_defect(np.random.default_rng(seed), before, "crack")
        changed = (after != before).any(axis=2)
        assert mask[changed].mean() > 0.3  # thin lines have about as many rim pixels
        assert changed[mask].all()
