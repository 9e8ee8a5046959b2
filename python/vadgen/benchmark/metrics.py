"""Metrics of anomaly detection: exact, on integers or floats, memory not growing with good pixels.

Every metric is a rank statistic of one curve: how much of what is anomalous, and how much of what
is normal, lies at or above each score. Only the scores of anomalous pixels are kept; normal pixels
are counted between them, picture by picture. A metric that is undefined (one class only) is None.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[Any]
Mask = NDArray[np.bool_]

AUPRO_MAX_FPR = 0.3
AUPIMO_FPR = (1e-5, 1e-4)
_GATHERED = 1 << 20  # normal pixels counted at a time


@dataclass(frozen=True)
class F1Max:
    """The best F1 over all thresholds: an oracle figure, since it looks at the labels.

    Attributes:
        f1: 2 tp / (2 tp + fp + fn), 0..1.
        threshold: score above which all that is called anomalous lies: score > threshold.
    """

    f1: float
    threshold: float


@dataclass(frozen=True)
class Operating:
    """What a fixed threshold does on labelled images; None where there are no such images.

    Attributes:
        false_positive_rate: share of good images with score > threshold.
        recall: share of anomalous images with score > threshold.
    """

    false_positive_rate: float | None
    recall: float | None


@dataclass(frozen=True)
class Metrics:
    """All metrics of a labelled set.

    Attributes:
        images: images, none dropped.
        pixel_images: of these, the ones whose pixels are labelled and counted below.
        image_auroc: area under the ROC curve of image scores.
        image_f1: best F1 over image thresholds.
        pixel_auroc: area under the ROC curve of all pixels.
        pixel_f1: best F1 over pixel thresholds.
        aupro: area under the per-region-overlap curve up to a false-positive rate of 0.3, over 0.3.
        aupimo: mean over anomalous images of the area under the per-image-overlap curve.
        operating: at the shipped threshold; None if no threshold was given.
    """

    images: int
    pixel_images: int
    image_auroc: float | None
    image_f1: F1Max | None
    pixel_auroc: float | None
    pixel_f1: F1Max | None
    aupro: float | None
    aupimo: float | None
    operating: Operating | None


def evaluate(
    scores: Scores,
    labels: Mask,
    maps: Sequence[Scores] | NDArray[Any] | None = None,
    masks: Sequence[Mask | None] | None = None,
    threshold: float | None = None,
    region: Mask | None = None,
) -> Metrics:
    """All metrics of a labelled set.

    Args:
        scores: (n,) image scores, integer or float, higher is more anomalous.
        labels: (n,) bool, True for anomalous images.
        maps: n pixel score maps of one size (height, width): an array, or a sequence that makes
            them on demand, once or twice each. None leaves the pixel metrics None.
        masks: n masks of the maps' sizes, True on the defect. None for a good image stands for an
            empty mask, for an anomalous one for pixels that nobody labelled: those do not count.
        threshold: the shipped one.
        region: (height, width), True for the pixels that count; None for all.
    """
    labels = labels.astype(np.bool_)  # an empty array is of floats
    pixels = None if maps is None or masks is None else pixel_curves(maps, masks, labels, region)
    curve = curve_of(scores, labels)
    return Metrics(
        images=len(labels),
        pixel_images=0 if pixels is None else pixels.images,
        image_auroc=auroc(curve),
        image_f1=f1_max(curve),
        pixel_auroc=None if pixels is None else auroc(pixels.pixels),
        pixel_f1=None if pixels is None else f1_max(pixels.pixels),
        aupro=None if pixels is None else aupro(pixels),
        aupimo=None if pixels is None else aupimo(pixels),
        operating=None if threshold is None else operating(scores, labels, threshold),
    )


@dataclass(frozen=True, eq=False)
class Curve:
    """What lies at and above each distinct score of an anomalous sample, from the highest down.

    Attributes:
        scores: (k,) distinct scores of anomalous samples, descending, of the dtype given.
        positives: int64 (k,) anomalous samples at or above.
        above: int64 (k,) normal samples strictly above.
        negatives: int64 (k,) normal samples at or above.
        n_negatives: normal samples in all.
    """

    scores: Scores
    positives: NDArray[np.int64]
    above: NDArray[np.int64]
    negatives: NDArray[np.int64]
    n_negatives: int


@dataclass(frozen=True, eq=False)
class PixelCurves:
    """Pixels of many images, as the pixel metrics need them.

    Attributes:
        images: images counted.
        pixels: curve over all pixels.
        regions: float64 (k,) mean share of a region's pixels at or above `pixels.scores`; a
            region is an 8-connected part of a mask. Empty without regions.
        overlaps: per labelled anomalous image, the ascending scores of its defect.
        top_normal: ascending highest scores of good images' pixels, as many as AUPIMO needs.
        n_normal: pixels of good images.
    """

    images: int
    pixels: Curve
    regions: NDArray[np.float64]
    overlaps: tuple[Scores, ...]
    top_normal: Scores
    n_normal: int


def curve_of(scores: Scores, labels: Mask) -> Curve:
    """The curve of samples at hand; scores (n,), labels (n,) bool, True for anomalous."""
    return _counted(scores[labels], [scores[~labels]])


def pixel_curves(
    maps: Sequence[Scores] | NDArray[Any],
    masks: Sequence[Mask | None],
    labels: Mask,
    region: Mask | None = None,
) -> PixelCurves:
    """The curves of pixels; arguments as for `evaluate`."""
    known = [i for i, bad in enumerate(labels) if not bad or masks[i] is not None]
    where = True if region is None else region
    defects = {i: mask & where for i in known if labels[i] and (mask := masks[i]) is not None}
    overlaps = [maps[i][mask] for i, mask in defects.items()]
    positives = np.concatenate(overlaps) if overlaps else np.empty(0, np.float32)
    distinct, place = np.unique(positives, return_inverse=True)

    good = [i for i in known if not labels[i]]
    area = region.sum() if region is not None else maps[good[0]].size if good else 0
    n_normal = len(good) * int(area)
    n_top = int(AUPIMO_FPR[1] * n_normal) + 1
    top = [positives[:0]]

    def normals() -> Iterator[Scores]:
        for i in known:
            counted = where & ~defects[i] if i in defects else where
            values = maps[i][counted].reshape(-1)
            if i not in defects:
                top[0] = np.sort(np.concatenate([top[0], values]))[-n_top:]
            yield values

    weights = [_region_weights(mask) for mask in defects.values()]
    return PixelCurves(
        images=len(known),
        pixels=_counted(positives, normals()),
        regions=_regions(place, weights, len(distinct)),
        overlaps=tuple(np.sort(values) for values in overlaps),
        top_normal=top[0],
        n_normal=n_normal,
    )


def auroc(curve: Curve) -> float | None:
    """P(score of an anomalous sample > score of a normal one), ties counting half."""
    if not len(curve.scores) or not curve.n_negatives:
        return None
    gained = np.diff(curve.positives, prepend=0)
    twice = int((gained * (2 * curve.n_negatives - curve.negatives - curve.above)).sum())
    return twice / (2 * int(curve.positives[-1]) * curve.n_negatives)


def f1_max(curve: Curve) -> F1Max | None:
    """The best F1 = 2 tp / (tp + fp + positives); of equal ones, the highest threshold."""
    if not len(curve.scores) or not curve.n_negatives:
        return None
    f1 = 2 * curve.positives / (curve.positives + curve.negatives + curve.positives[-1])
    best = int(np.argmax(f1))
    least = curve.scores[best]
    if np.issubdtype(least.dtype, np.integer):
        return F1Max(float(f1[best]), float(int(least) - 1))
    return F1Max(float(f1[best]), float(np.nextafter(least, least.dtype.type(-np.inf))))


def aupro(pixels: PixelCurves, max_fpr: float = AUPRO_MAX_FPR) -> float | None:
    """Area under the mean overlap of regions against the false-positive rate, up to max_fpr.

    The area is divided by max_fpr; the overlap itself is not rescaled. None without regions or
    without normal pixels.

    Source: Bergmann et al., The MVTec anomaly detection dataset, IJCV 129, 2021, section 5.
    """
    curve = pixels.pixels
    if not len(pixels.regions) or not curve.n_negatives:
        return None
    # Between two defect scores only normal pixels are passed: level; at a score: straight, ties.
    fpr = np.stack([curve.above, curve.negatives], axis=1).reshape(-1) / curve.n_negatives
    overlap = np.repeat(pixels.regions, 2)
    fpr = np.concatenate([[0.0], fpr, [1.0]])
    overlap = np.concatenate([[0.0, 0.0], overlap])
    end = int(np.searchsorted(fpr, max_fpr, side="right"))
    if end < len(fpr):
        last = np.interp(max_fpr, fpr[end - 1 : end + 1], overlap[end - 1 : end + 1])
        fpr = np.append(fpr[:end], max_fpr)
        overlap = np.append(overlap[:end], last)
    return float(np.diff(fpr) @ (overlap[1:] + overlap[:-1])) / 2 / max_fpr


def aupimo(pixels: PixelCurves) -> float | None:
    """Mean over anomalous images of the share of the defect found at very few false positives.

    For each image: the mean of its recall over log FPR between the `AUPIMO_FPR`, where FPR counts
    the pixels of good images only and the threshold at a rate x is the least with FPR <= x. None
    without good images or without a defect pixel.

    Source: Bertoldo et al., AUPIMO: redefining visual anomaly detection benchmarks, BMVC 2024.
    """
    images = [values for values in pixels.overlaps if values.size]
    if not images or not pixels.n_normal:
        return None
    low, high = AUPIMO_FPR
    allowed = np.arange(int(low * pixels.n_normal), int(high * pixels.n_normal) + 1)
    edges = np.clip(np.append(allowed, allowed[-1] + 1) / pixels.n_normal, low, high)
    weights = np.diff(np.log(edges)) / np.log(high / low)
    limits = pixels.top_normal[::-1][allowed]  # with k false positives: all above the (k+1)-th
    recalls = [1 - np.searchsorted(values, limits, side="right") / values.size for values in images]
    return float(np.mean([recall @ weights for recall in recalls]))


def operating(scores: Scores, labels: Mask, threshold: float) -> Operating:
    """False-positive rate and recall of score > threshold; arguments as for `evaluate`."""
    called = scores > threshold

    def share(of: Mask) -> float | None:
        return float(called[of].mean()) if of.any() else None

    return Operating(false_positive_rate=share(~labels), recall=share(labels))


def _counted(positives: Scores, negatives: Iterable[Scores]) -> Curve:
    """Count samples around each distinct positive score; negatives come in pieces."""
    assert not np.isnan(positives).any(), "scores are numbers"
    distinct, gained = np.unique(positives, return_counts=True)
    # Bin 2 i: normal scores between distinct[i - 1] and distinct[i]; bin 2 i + 1: equal to it.
    bins = np.zeros(2 * len(distinct) + 1, np.int64)
    for values in _gathered(negatives):
        assert not np.isnan(values).any(), "scores are numbers"
        values.sort()
        at = np.searchsorted(distinct, values, "left") + np.searchsorted(distinct, values, "right")
        bins += np.bincount(at, minlength=len(bins))
    from_top = np.cumsum(bins[::-1])
    return Curve(
        scores=distinct[::-1],
        positives=np.cumsum(gained[::-1]),
        above=from_top[:-1:2],
        negatives=from_top[1::2],
        n_negatives=int(from_top[-1]),
    )


def _gathered(pieces: Iterable[Scores]) -> Iterator[Scores]:
    """Copies of the pieces, joined into larger ones."""
    held: list[Scores] = []
    for piece in pieces:
        held.append(piece)
        if sum(part.size for part in held) >= _GATHERED:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


def _region_weights(mask: Mask) -> NDArray[np.float64]:
    """For each pixel of a mask, in the order of mask[mask]: 1 / pixels of its region."""
    from scipy.ndimage import label

    regions = label(mask, np.ones((3, 3)))[0][mask]
    return np.asarray(1 / np.bincount(regions)[regions], np.float64)


def _regions(
    place: NDArray[np.intp], weights: list[NDArray[np.float64]], n_scores: int
) -> NDArray[np.float64]:
    """Mean overlap of regions at or above each distinct score, descending."""
    n_regions = sum(round(float(image.sum())) for image in weights)
    if not n_regions:
        return np.empty(0)
    gained = np.bincount(place, np.concatenate(weights), n_scores)
    return np.cumsum(gained[::-1]) / n_regions
