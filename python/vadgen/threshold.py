"""The decision threshold from scores of normal images alone, by conformal prediction.

A picture is anomalous when its score is above the threshold. With n calibration scores of normal
pictures that the detector was not fitted on, the threshold is the ceil((n + 1)(1 - alpha))-th
smallest; if those pictures and a new normal one are exchangeable, the new one is called anomalous
with probability at most alpha, over the draw of all of them, however scores are distributed.

Source: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World, 2005; Barber, Candes,
Ramdas, Tibshirani, Predictive inference with the jackknife+, Annals of Statistics 49(1), 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vadgen.errors import VadgenError

DEFAULT_ALPHA = 0.05
Method = Literal["holdout", "cross"]


@dataclass(frozen=True)
class Threshold:
    """A calibrated threshold.

    Attributes:
        value: integer score; a picture is anomalous when its score is greater.
        alpha: false-positive rate that was asked for, or that the default became.
        n: calibration scores it comes from.
        method: "holdout": pictures kept from the fit, with the guarantee above. "cross":
            out-of-fold scores, see `cross_conformal`.
    """

    value: int
    alpha: float
    n: int
    method: Method

    def is_anomalous(self, score: int) -> bool:
        """The decision, as the firmware takes it."""
        return score > self.value


@dataclass(frozen=True, eq=False)
class Split:
    """Sorted indices, int64, of the pictures to fit on and of those held out."""

    fit: NDArray[np.int64]
    holdout: NDArray[np.int64]


def images_needed(alpha: float) -> int:
    """Fewest calibration scores that support alpha: the least n with (n + 1) alpha >= 1.

    Raises:
        VadgenError: alpha is not in [1e-6, 1).
    """
    return ceil(1 / _exact(alpha)) - 1


def default_alpha(n: int) -> float:
    """DEFAULT_ALPHA if n scores support it, otherwise the least that they do, 1 / (n + 1)."""
    return max(DEFAULT_ALPHA, 1 / (n + 1))


def conformal_threshold(scores: NDArray[Any], alpha: float | None = None) -> Threshold:
    """The ceil((n + 1)(1 - alpha))-th smallest score of pictures that were held out.

    Args:
        scores: integers (n,), image scores of normal pictures that the detector has not seen.
        alpha: false-positive rate in [1e-6, 1); None for `default_alpha`.

    Raises:
        VadgenError: no scores, or alpha needs more of them; says how many.
    """
    return _calibrated(scores, alpha, "holdout")


def cross_conformal(folds: Sequence[NDArray[Any]], alpha: float | None = None) -> Threshold:
    """The same order statistic of pooled out-of-fold scores, for when there are few pictures.

    For each fold a detector is fitted on the others and scores it; all on one integer scale, that
    of the detector fitted on everything, which is the one that ships. Every picture is then both
    fitted on and calibrated with, but the guarantee becomes one of stability: if leaving a fold
    out moves the score of a new normal picture by more than e with probability at most v, then
    threshold + e has a false-positive rate of at most alpha + 2 sqrt(v) (exactly so for folds of
    one). Without stability there is none. It tends to err on the safe side, since a detector
    fitted on fewer pictures gives unseen ones higher scores.

    Args:
        folds: integers (n_k,) per fold of `split_folds`, in any order.
        alpha: as for `conformal_threshold`.

    Raises:
        VadgenError: as `conformal_threshold`, n counted over all folds.

    Source: Barber et al. 2021, theorem 5 (the jackknife under out-of-sample stability).
    """
    return _calibrated(np.concatenate(folds), alpha, "cross")


def method_for(n_train: int, alpha: float | None = None) -> Method:
    """Hold pictures out where half of them are enough for alpha, otherwise cross-conformal.

    Args:
        n_train: good pictures there are.
        alpha: as for `conformal_threshold`.

    Raises:
        VadgenError: alpha needs more than all of them, or there are fewer than two.
    """
    if n_train < 2:
        raise VadgenError(
            f"{_pictures(n_train)} of good parts; fitting and calibrating need at least 2",
            f"add pictures of good parts; from {2 * images_needed(DEFAULT_ALPHA)} on, the default "
            f"false-positive rate of {DEFAULT_ALPHA} is held",
        )
    if alpha is not None and images_needed(alpha) > n_train:
        raise _too_few(n_train, alpha)
    return "holdout" if _held_out(n_train, alpha) <= n_train // 2 else "cross"


def split_holdout(
    n_train: int, seed: int, fraction: float | None = None, alpha: float | None = None
) -> Split:
    """Draw the pictures to hold out, the same for the same arguments.

    Args:
        n_train: good pictures there are, at least 2.
        seed: of the draw.
        fraction: share to hold out, in (0, 1); None for one in five, or as many as alpha needs,
            but never more than half.
        alpha: false-positive rate to make possible; None for DEFAULT_ALPHA.

    Returns:
        Both parts hold at least one picture.
    """
    if fraction is None:
        wanted = min(_held_out(n_train, alpha), n_train // 2)
    else:
        wanted = round(n_train * fraction)
    order = np.random.default_rng([seed, n_train]).permutation(n_train)
    n_held = min(max(wanted, 1), n_train - 1)
    return Split(np.sort(order[n_held:]), np.sort(order[:n_held]))


def split_folds(n_train: int, seed: int, n_folds: int = 5) -> tuple[Split, ...]:
    """Draw folds of nearly equal size; each picture is held out in exactly one.

    Args:
        n_train: good pictures there are, at least 2.
        seed: of the draw.
        n_folds: at least 2; no more than n_train are made.
    """
    order = np.random.default_rng([seed, n_train]).permutation(n_train)
    folds = np.array_split(order, min(n_folds, n_train))
    return tuple(Split(np.setdiff1d(order, fold), np.sort(fold)) for fold in folds)


def _calibrated(scores: NDArray[Any], alpha: float | None, method: Method) -> Threshold:
    assert np.issubdtype(scores.dtype, np.integer), "calibrate on what the device computes"
    n = scores.size
    if n == 0:
        raise VadgenError("no pictures to calibrate the threshold", "add pictures of good parts")
    if alpha is None:
        alpha = default_alpha(n)
    elif n < images_needed(alpha):
        raise _too_few(n, alpha)
    rank = ceil((n + 1) * (1 - _exact(alpha)))
    return Threshold(int(np.sort(scores)[rank - 1]), alpha, n, method)


def _exact(alpha: float) -> Fraction:
    """Alpha as the fraction that was meant: 0.05 is 1/20, and n + 1 times 1/(n + 1) is 1."""
    if not 1e-6 <= alpha < 1:
        raise VadgenError(
            f"alpha is {alpha}", "alpha is a false-positive rate, at least 1e-6 and less than 1"
        )
    return Fraction(alpha).limit_denominator(10**9)


def _held_out(n_train: int, alpha: float | None) -> int:
    """How many pictures to hold out: one in five, or as many as alpha needs."""
    least = images_needed(DEFAULT_ALPHA if alpha is None else alpha)
    return max(ceil(n_train / 5), least)


def _too_few(n: int, alpha: float) -> VadgenError:
    return VadgenError(
        f"alpha {alpha:g} needs {images_needed(alpha)} pictures of good parts to calibrate on, "
        f"there are {n}",
        f"add pictures, or ask for an alpha of at least {ceil(10_000 / (n + 1)) / 10_000:g}",
    )


def _pictures(n: int) -> str:
    return f"{n} picture{'s' * (n != 1)}"
