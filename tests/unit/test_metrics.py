"""Metrics: those of scikit-learn and of plain definitions, with ties; None where undefined."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label
from sklearn.metrics import precision_recall_curve, roc_auc_score

from vadgen.benchmark import metrics
from vadgen.benchmark.metrics import (
    AUPIMO_FPR,
    F1Max,
    Operating,
    aupimo,
    aupro,
    auroc,
    curve_of,
    evaluate,
    f1_max,
    operating,
    pixel_curves,
)

DTYPES = [np.uint8, np.uint32, np.int64, np.float32, np.float64]


@st.composite
def samples(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties, of any dtype, and labels of both classes."""
    n = draw(st.integers(2, 60))
    values = draw(
        st.lists(st.integers(0, draw(st.sampled_from([1, 5, 200]))), min_size=n, max_size=n)
    )
    labels = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    labels[0], labels[1] = True, False
    return np.array(values, draw(st.sampled_from(DTYPES))), np.array(labels)


@given(sample=samples())
def test_auroc_is_scikit_learns(sample: tuple[np.ndarray, np.ndarray]) -> None:
    scores, labels = sample
    assert auroc(curve_of(scores, labels)) == pytest.approx(
        roc_auc_score(labels, scores), abs=1e-12
    )


@given(sample=samples())
def test_f1_is_the_best_of_scikit_learns_curve(sample: tuple[np.ndarray, np.ndarray]) -> None:
    scores, labels = sample
    precision, recall, _ = precision_recall_curve(labels, scores)
    best = (2 * precision * recall / np.maximum(precision + recall, 1e-12)).max()
    found = f1_max(curve_of(scores, labels))
    assert found is not None
    assert found.f1 == pytest.approx(best, abs=1e-9)
    called = scores > found.threshold
    assert 2 * (called & labels).sum() / (called.sum() + labels.sum()) == pytest.approx(found.f1)


def test_f1_threshold_is_for_greater_than() -> None:
    labels = np.array([False, False, True, True])
    assert f1_max(curve_of(np.array([0, 1, 5, 9], np.uint32), labels)) == F1Max(1.0, 4.0)
    assert f1_max(curve_of(np.array([0, 0, 0, 0], np.uint32), labels)) == F1Max(2 / 3, -1.0)
    small = f1_max(curve_of(np.array([0, 1, 5, 9], np.float32), labels))
    assert small is not None and 4.999 < small.threshold < 5


@st.composite
def pictures(draw: st.DrawFn) -> tuple[np.ndarray, list[np.ndarray | None], np.ndarray]:
    """Maps with ties, masks with several regions (some unknown), labels; both classes."""
    n, height, width = draw(st.integers(2, 7)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels = rng.random(n) < 0.5
    labels[0], labels[1] = True, False
    top = draw(st.sampled_from([2, 20, 10_000]))
    maps = rng.integers(0, top, (n, height, width)).astype(
        draw(st.sampled_from([np.uint32, np.float32]))
    )
    masks: list[np.ndarray | None] = [
        rng.random((height, width)) < rng.choice([0.1, 0.4]) if bad else None for bad in labels
    ]
    first = masks[0]
    assert first is not None
    first[0, 0] = True
    for i in range(2, n):
        if labels[i] and rng.random() < 0.3:
            masks[i] = None
    return maps, masks, labels


def whole(
    maps: np.ndarray, masks: Sequence[np.ndarray | None], labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels of all counted pixels."""
    pairs = [
        (maps[i], np.zeros(maps[i].shape, bool) if not labels[i] else masks[i])
        for i in range(len(maps))
        if not labels[i] or masks[i] is not None
    ]
    return np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs])


def plain_aupro(scores: np.ndarray, truth: np.ndarray, limit: float) -> float:
    """By the definition: every threshold, every region, trapezoids, cut at the limit."""
    regions = [
        (i, labelled == k)
        for i, mask in enumerate(truth)
        for labelled, count in [label(mask, np.ones((3, 3)))]
        for k in range(1, count + 1)
    ]
    points = [(0.0, 0.0)]
    for threshold in np.unique(scores)[::-1]:
        overlap = np.mean([(scores[i][region] >= threshold).mean() for i, region in regions])
        points.append((float((scores[~truth] >= threshold).mean()), float(overlap)))
    area = 0.0
    for (x0, y0), (x1, y1) in zip(points[:-1], points[1:], strict=True):
        if x0 >= limit:
            break
        if x1 > limit:
            x1, y1 = limit, y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
        area += (x1 - x0) * (y0 + y1) / 2
    return area / limit


@settings(max_examples=150, deadline=None)
@given(case=pictures(), limit=st.sampled_from([0.05, 0.3, 1.0]))
def test_pixel_metrics_are_their_definitions(
    case: tuple[np.ndarray, list[np.ndarray | None], np.ndarray], limit: float
) -> None:
    maps, masks, labels = case
    scores, truth = whole(maps, masks, labels)
    curves = pixel_curves(maps, masks, labels)
    assert curves.images == len(scores)
    assert auroc(curves.pixels) == pytest.approx(
        roc_auc_score(truth.ravel(), scores.ravel()), abs=1e-12
    )
    flat = f1_max(curve_of(scores.ravel(), truth.ravel()))
    assert f1_max(curves.pixels) == flat
    assert aupro(curves, limit) == pytest.approx(plain_aupro(scores, truth, limit), abs=1e-12)


def plain_aupimo(maps: np.ndarray, masks: Sequence[Any], labels: np.ndarray) -> float:
    """By the definition, on a fine grid of false-positive rates."""
    normal = np.sort(maps[~labels].ravel())[::-1]
    rates = np.geomspace(*AUPIMO_FPR, 20_001)
    limits = normal[(rates * normal.size).astype(int)]
    recalls = [
        [(maps[i][masks[i]] > limit).mean() for limit in np.unique(limits)]
        for i in range(len(maps))
        if labels[i] and masks[i].any()
    ]
    place = np.searchsorted(np.unique(limits), limits)
    return float(np.mean([np.array(recall)[place].mean() for recall in recalls]))


@pytest.mark.parametrize("dtype", [np.uint32, np.float32])
def test_aupimo_is_its_definition(dtype: type) -> None:
    rng = np.random.default_rng(0)
    labels = np.array([True] * 4 + [False] * 12)
    maps = (rng.gamma(2, 200, (16, 160, 160))).astype(dtype)
    masks: list[Any] = [rng.random((160, 160)) < 0.02 for _ in labels]
    for i in range(3):
        maps[i][masks[i]] += rng.integers(0, 3500 * (i + 1), masks[i].sum()).astype(dtype)
    value = aupimo(pixel_curves(maps, masks, labels))
    assert value is not None and 0.2 < value < 0.8
    assert value == pytest.approx(plain_aupimo(maps, masks, labels), abs=2e-4)


def test_aupimo_of_few_pixels_asks_for_no_false_positive() -> None:
    maps = np.zeros((2, 4, 4))
    maps[0, 0] = [1, 2, 3, 4]
    maps[1, 0, 0] = 2
    masks = [maps[0] > 0, None]
    assert aupimo(pixel_curves(maps, masks, np.array([True, False]))) == pytest.approx(0.5)


def test_perfect_and_useless_maps() -> None:
    labels = np.array([True, False])
    mask = np.zeros((8, 8), bool)
    mask[2:4, 2:4] = mask[6, 6] = True
    for maps, area in ((np.stack([mask * 9, mask * 0]), 1.0), (np.ones((2, 8, 8)), 0.15)):
        result = evaluate(np.array([2, 1]), labels, maps, [mask, None])
        assert result.aupro == pytest.approx(area)
        assert result.image_auroc == 1.0
        assert result.pixel_auroc == (1.0 if area == 1 else 0.5)


def test_one_class_gives_none() -> None:
    maps = np.arange(18.0).reshape(2, 3, 3)
    mask = np.eye(3, dtype=bool)
    good = evaluate(np.array([1, 2]), np.array([False, False]), maps, [None, None], threshold=1)
    assert (good.images, good.pixel_images) == (2, 2)
    assert good.image_auroc is good.image_f1 is good.pixel_auroc is good.pixel_f1 is None
    assert good.aupro is good.aupimo is None
    assert good.operating == Operating(0.5, None)
    bad = evaluate(np.array([1, 2]), np.array([True, True]), maps, [mask, mask], threshold=1)
    assert bad.image_auroc is bad.image_f1 is bad.aupimo is None
    assert bad.pixel_auroc is not None and bad.aupro is not None  # normal pixels beside defects
    assert bad.operating == Operating(None, 0.5)
    none = evaluate(np.array([]), np.array([]), np.empty((0, 3, 3)), [])
    assert none.images == none.pixel_images == 0
    assert none.image_auroc is none.pixel_auroc is none.aupro is none.operating is None


def test_without_masks_only_images_count() -> None:
    result = evaluate(np.array([1, 2, 3]), np.array([False, True, True]))
    assert (result.images, result.pixel_images) == (3, 0)
    assert result.image_auroc == 1.0
    assert result.pixel_auroc is result.aupro is result.operating is None


def test_unlabelled_pixels_do_not_count_but_their_image_does() -> None:
    mask = np.zeros((4, 4), bool)
    mask[0, 0] = True
    maps = np.stack([mask * 5.0, np.full((4, 4), 100.0), np.zeros((4, 4))])
    result = evaluate(np.array([5, 0, 1]), np.array([True, True, False]), maps, [mask, None, None])
    assert (result.images, result.pixel_images) == (3, 2)
    assert result.pixel_auroc == 1.0
    assert result.image_auroc == 0.5


def test_the_operating_point_is_strict() -> None:
    scores = np.array([1, 5, 5, 6, 9], np.uint32)
    labels = np.array([False, False, True, True, True])
    assert operating(scores, labels, 5) == Operating(0.0, pytest.approx(2 / 3))


class Made(Sequence[np.ndarray]):
    """Maps made on demand; counts how often."""

    def __init__(self, n: int, side: int) -> None:
        self.n, self.side, self.made = n, side, 0

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: Any) -> Any:
        self.made += 1
        rng = np.random.default_rng(index)
        return rng.integers(0, 1 << 20, (self.side, self.side), np.uint32)


def test_memory_does_not_grow_with_good_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_GATHERED", 1 << 14)
    mask = np.zeros((64, 64), bool)
    mask[:8, :8] = True
    peaks = []
    for n in (20, 200):
        maps = Made(n, 64)
        labels = np.arange(n) < 5
        tracemalloc.start()
        pixel_curves(maps, [mask if bad else None for bad in labels], labels)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert maps.made <= 2 * n
    assert peaks[1] < 1.2 * peaks[0] + 50_000


@pytest.mark.parametrize("image", [0, 1])
def test_a_map_that_is_not_a_number_is_no_score(image: int) -> None:
    maps = np.zeros((2, 3, 3))
    maps[image, 0, 0] = np.nan
    with pytest.raises(AssertionError):
        pixel_curves(maps, [np.eye(3, dtype=bool), None], np.array([True, False]))


def test_a_region_is_as_if_the_rest_of_the_pixels_were_not_there() -> None:
    rng = np.random.default_rng(3)
    maps = rng.normal(size=(6, 12, 10))
    labels = np.arange(6) >= 3
    masks = [None] * 3 + [rng.random((12, 10)) < 0.2 for _ in range(3)]
    scores = maps.max(axis=(1, 2))
    region = np.zeros((12, 10), bool)
    region[3:9, 4:] = True
    cut = evaluate(
        scores, labels, maps[:, 3:9, 4:], [m if m is None else m[3:9, 4:] for m in masks]
    )
    assert evaluate(scores, labels, maps, masks, region=region) == cut
    assert evaluate(scores, labels, maps, masks) != cut
