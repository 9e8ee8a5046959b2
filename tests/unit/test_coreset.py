"""Greedy k-center: the plain algorithm's choice, within the memory that was allowed."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from vadgen.detectors.coreset import BatchedCoreset, greedy_k_center, projected_dims
from vadgen.errors import VadgenError


def plain(points: np.ndarray, n: int) -> list[int]:
    """One row at a time, in float64."""
    x = points.astype(np.float64)
    chosen = [0]
    nearest = ((x - x[0]) ** 2).sum(axis=1)
    while len(chosen) < n:
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, ((x - x[chosen[-1]]) ** 2).sum(axis=1))
    return chosen


def cover(points: np.ndarray, bank: np.ndarray) -> float:
    """Greatest distance of a point from its nearest row."""
    gaps = ((points[:, None].astype(np.float64) - bank[None]) ** 2).sum(axis=2)
    return float(np.sqrt(gaps.min(axis=1).max()))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_points", [1, 7, 300, 3000])
def test_same_choice_as_one_row_at_a_time(n_points: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(-9, 10, (n_points, 5)).astype(np.float32)  # many ties, exact sums
    n = min(n_points, 40)
    selection = greedy_k_center(points, n, rng)
    assert selection.indices.tolist() == plain(points, n)
    assert selection.radius == pytest.approx(cover(points, points[selection.indices]), abs=1e-4)


def test_equal_points_are_chosen_once_each() -> None:
    selection = greedy_k_center(np.ones((6, 3), np.float32), 6, np.random.default_rng(0))
    assert selection.indices.tolist() == [0, 1, 2, 3, 4, 5]
    assert selection.radius == 0


def test_projection_only_where_the_bound_is_below_the_dimensions() -> None:
    assert projected_dims(50_000) == 268
    rng = np.random.default_rng(1)
    centers = rng.normal(0, 20, (12, 2000))
    points = np.repeat(centers, 30, axis=0) + rng.normal(0, 0.1, (360, 2000))
    chosen = greedy_k_center(points.astype(np.float32), 12, rng).indices
    assert projected_dims(len(points)) < points.shape[1]
    assert sorted(chosen // 30) == list(range(12))


@pytest.mark.parametrize("memory", [40, 48, 64])
def test_batches_stay_within_memory_and_slack(memory: int) -> None:
    rng = np.random.default_rng(2)
    points = rng.normal(0, 1, (120_000, 24)).astype(np.float32) * np.linspace(3, 0.1, 24)
    points = points.astype(np.float32)
    limit = memory * 1024**2
    tracemalloc.start()
    coreset = BatchedCoreset(60, 24, limit, rng)
    for batch in np.array_split(points, 37):
        coreset.add(batch)
    bank = coreset.select()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= limit
    sample = points[::50]
    whole = greedy_k_center(points, 60, np.random.default_rng(2))
    assert cover(sample, bank) <= 2 * whole.radius + coreset.slack
    assert (coreset.slack == 0) == (memory == 64)
    if coreset.slack == 0:
        np.testing.assert_array_equal(bank, points[whole.indices])


def test_memory_does_not_grow_with_the_images() -> None:
    peaks = []
    for repeats in (20, 60):
        rng = np.random.default_rng(3)
        tracemalloc.start()
        coreset = BatchedCoreset(20, 64, 34 * 1024**2, rng)
        for _ in range(repeats):
            coreset.add(rng.normal(0, 1, (1000, 64)).astype(np.float32))
        coreset.select()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert coreset.slack > 0
    assert peaks[1] <= 34 * 1024**2


def test_the_order_of_batches_is_all_that_matters() -> None:
    points = np.random.default_rng(4).normal(0, 1, (5000, 8)).astype(np.float32)
    banks = []
    for parts in (1, 9, 50):
        coreset = BatchedCoreset(30, 8, 64 * 1024**2, np.random.default_rng(0))
        for batch in np.array_split(points, parts):
            coreset.add(batch)
        banks.append(coreset.select())
    np.testing.assert_array_equal(banks[0], banks[1])
    np.testing.assert_array_equal(banks[0], banks[2])


def test_refusals() -> None:
    rng = np.random.default_rng(0)
    few = np.zeros((5, 3), np.float32)
    with pytest.raises(VadgenError, match="5 patches are fewer than the 6 rows") as caught:
        greedy_k_center(few, 6, rng)
    assert "--codes 5" in caught.value.hint
    few[3, 1] = np.nan
    with pytest.raises(VadgenError, match="not finite"):
        greedy_k_center(few, 2, rng)
    with pytest.raises(VadgenError, match="too few to select 1000 rows") as caught:
        BatchedCoreset(1000, 176, 40 * 1024**2, rng)
    assert "--coreset-memory" in caught.value.hint
    with pytest.raises(VadgenError, match="0 patches"):
        BatchedCoreset(10, 4, 64 * 1024**2, rng).select()
