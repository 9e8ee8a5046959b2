"""The conformal threshold: its order statistic, its guarantee, and what n pictures allow."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vadgen.errors import VadgenError
from vadgen.threshold import (
    DEFAULT_ALPHA,
    conformal_threshold,
    cross_conformal,
    default_alpha,
    images_needed,
    method_for,
    split_folds,
    split_holdout,
)

PERCENT = st.integers(1, 99)


@given(scores=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=300), percent=PERCENT)
def test_the_order_statistic(scores: list[int], percent: int) -> None:
    n = len(scores)
    rank = ceil(Fraction((n + 1) * (100 - percent), 100))
    array = np.array(scores, np.uint32)
    if rank > n:
        with pytest.raises(VadgenError, match=f"there are {n}$"):
            conformal_threshold(array, percent / 100)
        return
    threshold = conformal_threshold(array, percent / 100)
    assert threshold.value == sorted(scores)[rank - 1]
    assert (threshold.alpha, threshold.n, threshold.method) == (percent / 100, n, "holdout")


@given(n=st.integers(1, 60), percent=PERCENT, seed=st.integers(0, 1000))
def test_at_most_alpha_of_exchangeable_pictures_are_called(n: int, percent: int, seed: int) -> None:
    """Each of n + 1 pictures in the part of the new one: what exchangeability averages over."""
    if n < images_needed(percent / 100):
        return
    scores = np.random.default_rng(seed).integers(0, 50, n + 1)  # with ties
    calls = sum(
        conformal_threshold(np.delete(scores, new), percent / 100).is_anomalous(int(scores[new]))
        for new in range(n + 1)
    )
    assert Fraction(calls, n + 1) <= Fraction(percent, 100)


@given(n=st.integers(1, 5000))
def test_one_over_n_plus_one_is_what_n_supports(n: int) -> None:
    assert images_needed(1 / (n + 1)) == n
    scores = np.arange(n)
    assert conformal_threshold(scores, 1 / (n + 1)).value == n - 1
    if n > 1:
        with pytest.raises(VadgenError):
            conformal_threshold(scores, 0.99 / (n + 1))


def test_decimal_alphas_are_meant_exactly() -> None:
    assert [images_needed(a) for a in (0.5, 0.1, 0.05, 0.01, 0.001)] == [1, 9, 19, 99, 999]
    assert conformal_threshold(np.arange(99), 0.01).value == 98
    assert conformal_threshold(np.arange(999), 0.3).value == 699


def test_too_few_pictures_says_how_many_and_what_would_do() -> None:
    with pytest.raises(VadgenError) as caught:
        conformal_threshold(np.arange(20), 0.01)
    assert "needs 99 pictures" in caught.value.message
    assert "there are 20" in caught.value.message
    suggested = float(caught.value.hint.split()[-1])
    assert conformal_threshold(np.arange(20), suggested).value == 19


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 1e-9, float("nan")])
def test_senseless_alphas_are_refused(alpha: float) -> None:
    with pytest.raises(VadgenError, match="alpha is"):
        conformal_threshold(np.arange(50), alpha)


def test_no_pictures_are_refused() -> None:
    with pytest.raises(VadgenError, match="no pictures"):
        conformal_threshold(np.array([], np.uint32))


def test_the_default_alpha_is_said() -> None:
    assert conformal_threshold(np.arange(200)).alpha == DEFAULT_ALPHA == default_alpha(19)
    assert default_alpha(18) == 1 / 19
    few = conformal_threshold(np.array([3, 9, 4], np.uint32))
    assert (few.value, few.alpha, few.n) == (9, 0.25, 3)


def test_the_decision_is_strict() -> None:
    threshold = conformal_threshold(np.full(19, 7, np.uint32))
    assert [threshold.is_anomalous(score) for score in (6, 7, 8)] == [False, False, True]


def test_cross_conformal_pools_the_folds() -> None:
    scores = np.random.default_rng(0).integers(0, 1000, 40, np.uint32)
    pooled = cross_conformal([scores[:13], scores[13:20], scores[20:]], 0.1)
    alone = conformal_threshold(scores, 0.1)
    assert (pooled.value, pooled.n, pooled.method) == (alone.value, 40, "cross")


def test_the_method_follows_the_number_of_pictures() -> None:
    assert method_for(38) == "holdout"
    assert method_for(37) == "cross"
    assert method_for(198, 0.01) == "holdout"
    assert method_for(197, 0.01) == "cross"
    assert method_for(2) == "cross"
    with pytest.raises(VadgenError, match="needs 99 pictures"):
        method_for(98, 0.01)
    with pytest.raises(VadgenError, match="1 picture of good parts"):
        method_for(1)


@given(
    n=st.integers(2, 500),
    seed=st.integers(0, 2**32 - 1),
    fraction=st.none() | st.floats(0.01, 0.99),
)
def test_split_is_a_partition_and_repeats(n: int, seed: int, fraction: float | None) -> None:
    split = split_holdout(n, seed, fraction)
    assert np.array_equal(np.sort(np.concatenate([split.fit, split.holdout])), np.arange(n))
    assert split.fit.size and split.holdout.size
    assert (np.diff(split.fit) > 0).all() and (np.diff(split.holdout) > 0).all()
    assert np.array_equal(split_holdout(n, seed, fraction).holdout, split.holdout)


def test_split_holds_out_what_alpha_needs() -> None:
    assert split_holdout(1000, 0).holdout.size == 200
    assert split_holdout(60, 0).holdout.size == 19
    assert split_holdout(20, 0).holdout.size == 10
    assert split_holdout(300, 0, alpha=0.01).holdout.size == 99
    assert not np.array_equal(split_holdout(100, 0).holdout, split_holdout(100, 1).holdout)


@pytest.mark.parametrize("alpha", [None, 0.2, 0.05, 0.01])
def test_what_method_for_promises_split_keeps(alpha: float | None) -> None:
    for n in range(2, 400):
        try:
            if method_for(n, alpha) == "holdout":
                held = split_holdout(n, 3, alpha=alpha).holdout
                conformal_threshold(held, alpha)
            else:
                cross_conformal([s.holdout for s in split_folds(n, 3)], alpha)
        except VadgenError as error:
            assert alpha is not None and n < images_needed(alpha), error


@given(n=st.integers(2, 200), seed=st.integers(0, 100), k=st.integers(2, 12))
def test_folds_hold_each_picture_out_once(n: int, seed: int, k: int) -> None:
    folds = split_folds(n, seed, k)
    assert len(folds) == min(k, n)
    held = np.concatenate([fold.holdout for fold in folds])
    assert np.array_equal(np.sort(held), np.arange(n))
    for fold in folds:
        assert np.array_equal(np.setdiff1d(np.arange(n), fold.holdout), fold.fit)
        assert fold.holdout.size in (n // len(folds), -(-n // len(folds)))
