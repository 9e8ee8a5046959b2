"""Re-weighting of the image score: the paper's formula, in integers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vadgen.detectors.patchcore import reweight_of
from vadgen.ref.patchcore import SCORE_BITS, to_scores
from vadgen.ref.reweight import NEIGHBORS, reweight, reweight_images


def paper(distances: list[float]) -> float:
    """The weight, from the distances of the strangest patch; the first is the nearest row's."""
    return 1 - 1 / sum(math.exp(min(d - distances[0], 600)) for d in distances)


@pytest.mark.parametrize("scale", [1e-4, 3e-3, 0.05])
def test_it_is_the_papers_formula(scale: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        nearest = int(rng.integers(1000, 1 << 22))
        score = nearest * int(rng.integers(8, 17))  # of the smoothed cells
        spread = rng.choice([1.0, 30.0]) / scale
        distances = nearest + rng.integers(0, max(int(spread), 1), NEIGHBORS)
        distances[0] = nearest
        got = reweight(reweight_of(scale), score, distances)
        want = score * paper((distances * scale).tolist())
        assert got == pytest.approx(want, rel=2e-3, abs=32)
        assert 0 <= got <= score


def test_equal_neighbours_take_a_ninth_and_far_ones_nothing() -> None:
    scale = reweight_of(0.01)
    same = np.full(NEIGHBORS, 90_000)
    assert reweight(scale, 90_000, same) == pytest.approx(80_000, abs=3)
    far = np.array([90_000] + [1 << 24] * (NEIGHBORS - 1))
    assert reweight(scale, 90_000, far) == 90_000
    assert reweight(scale, 90_000, np.array([90_000])) == 0


def test_the_strangest_patch_asks_the_neighbours_of_its_row() -> None:
    rng = np.random.default_rng(1)
    bank = rng.integers(-20, 21, (30, 6)).astype(np.int8)
    features = rng.integers(-20, 21, (2, 5, 6)).astype(np.int8)
    squared = ((features[:, :, None].astype(int) - bank) ** 2).sum(axis=3)
    found, rows = to_scores(squared.min(axis=2)), squared.argmin(axis=2)
    scale = reweight_of(0.3 / (1 << SCORE_BITS))
    scores = np.array([1 << 27, 100_000], np.uint32)
    got = reweight_images(scale, scores, features, found, rows, bank)
    for image in range(2):
        at = found[image].argmax()
        row = bank[rows[image, at]].astype(int)
        order = np.argsort(((bank - row) ** 2).sum(axis=1), kind="stable")[:NEIGHBORS]
        distances = np.sqrt(squared[image, at][order]) * 0.3
        want = paper(distances.tolist())
        assert 0.1 < want < 1 - 1e-4
        assert got[image] == pytest.approx(want * scores[image], rel=5e-3)
    assert not reweight_images(scale, 0 * scores, features, 0 * found, rows, bank).any()
