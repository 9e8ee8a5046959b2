"""PatchCore's re-weighting of the image score by the neighbours of the nearest row, in integers.

C twin: `firmware/lib/vad_detect/src/vad_reweight.c`. Vectors: `tests/vectors/reweight.json`.

Source: Roth et al., "Towards Total Recall in Industrial Anomaly Detection", 2022, equation 7: with
m the strangest patch, m* its nearest row and N_b(m*) the b rows nearest to m*,
`s = (1 - exp(|m - m*|) / sum over n in N_b(m*) of exp(|m - n|)) |m - m*|`. Here the last factor is
the greatest of the smoothed cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vadgen.ref.patchcore import to_scores

NEIGHBORS = 9
POWER_BITS = 15
STEP_BITS = 8
MOST_STEPS = 24 << STEP_BITS  # exp beyond 2^24 changes nothing


@dataclass(frozen=True)
class Reweight:
    """How far scores lie apart in powers of two.

    Attributes:
        multiplier: below 2^18.
        shift: in [1, 30]; `2^(((score * multiplier) >> shift) / 2^STEP_BITS)` is exp of a distance.
    """

    multiplier: int
    shift: int


def powers() -> np.ndarray:
    """2^(i / 2^STEP_BITS) in steps of 2^-POWER_BITS, uint16 (2^STEP_BITS,)."""
    n = 1 << STEP_BITS
    return np.rint(2.0 ** (np.arange(n) / n) * (1 << POWER_BITS)).astype(np.uint16)


def reweight(reweight: Reweight, score: int, distances: np.ndarray) -> int:
    """The score less its share: `score - floor(score * floor(2^31 / sum) / 2^16)`.

    The sum is over `exp(d - d[0])` of the neighbours, a power of two times an entry of `powers`.

    Args:
        reweight: the scale of the distances.
        score: of the image, below 2^28.
        distances: of the strangest patch from the neighbours, integers (n,), n >= 1; the first is
            that from its nearest row.
    """
    table = powers()
    total = 0
    for distance in (distances - distances[0]).tolist():
        steps = (max(distance, 0) * reweight.multiplier) >> reweight.shift
        steps = min(steps, MOST_STEPS)
        total += int(table[steps & ((1 << STEP_BITS) - 1)]) << (steps >> STEP_BITS)
    return score - ((score * ((1 << 31) // total)) >> 16)


def reweight_images(
    scale: Reweight,
    scores: np.ndarray,
    features: np.ndarray,
    distances: np.ndarray,
    rows: np.ndarray,
    bank: np.ndarray,
) -> np.ndarray:
    """Image scores of n images, re-weighted.

    Args:
        scale: see `Reweight`.
        scores: uint32 (n,).
        features: int8 (n, cells, D).
        distances: from the nearest rows, uint32 (n, cells); the greatest is the strangest patch,
            the first on ties.
        rows: their nearest rows, (n, cells).
        bank: int8 (N, D), decoded.

    Returns:
        uint32 (n,).
    """
    wide = bank.astype(np.int64)
    weighed = []
    for score, vectors, found, nearest in zip(
        scores.tolist(), features, distances, rows, strict=True
    ):
        at = int(found.argmax())
        if score:
            near = ((wide - wide[nearest[at]]) ** 2).sum(axis=1)
            chosen = wide[np.argsort(near, kind="stable")[:NEIGHBORS]]
            squared = ((chosen - vectors[at].astype(np.int64)) ** 2).sum(axis=1)
            score = reweight(scale, score, to_scores(squared).astype(np.int64))
        weighed.append(score)
    return np.array(weighed, np.uint32)
