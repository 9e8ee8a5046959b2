"""Compares runs of the same model by bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from vadgen.build.host import HostResult
from vadgen.link.response import Response


@dataclass(frozen=True, eq=False)
class Run:
    """What one runner gave for N images.

    Attributes:
        outputs: per output, int8 (N, rows, width, channels).
        cells: uint32 (N, cells), or None without a detector.
        scores: uint32 (N,), or None.
        decisions: bool (N,), or None.
    """

    outputs: tuple[NDArray[np.int8], ...]
    cells: NDArray[np.uint32] | None = None
    scores: NDArray[np.uint32] | None = None
    decisions: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Agreement:
    """Whether a run equals the reference, part by part; None where there is nothing to compare."""

    taps: bool
    cells: bool | None
    score: bool | None
    decision: bool | None

    @property
    def holds(self) -> bool:
        """Whether every part that was compared is equal."""
        return False not in (self.taps, self.cells, self.score, self.decision)

    def and_also(self, other: Agreement) -> Agreement:
        """Whether both runs equal the reference."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Agreement(*(a and b for a, b in pairs))

    def to_json(self) -> Mapping[str, bool | None]:
        """As `parity_by` holds it."""
        return {
            "taps": self.taps,
            "cells": self.cells,
            "score": self.score,
            "decision": self.decision,
        }


def compare(reference: Run, other: Run) -> Agreement:
    """Compares by bytes; a part that `other` lacks counts as not compared."""

    def same(a: NDArray[np.generic] | None, b: NDArray[np.generic] | None) -> bool | None:
        return None if a is None or b is None else bool(np.array_equal(a, b))

    taps = len(reference.outputs) == len(other.outputs) and all(
        np.array_equal(a, b) for a, b in zip(reference.outputs, other.outputs, strict=True)
    )
    return Agreement(
        taps,
        same(reference.cells, other.cells),
        same(reference.scores, other.scores),
        same(reference.decisions, other.decisions),
    )


def from_host(result: HostResult) -> Run:
    """A run of the host library."""
    cells = result.cells
    flat = None if cells is None else cells.reshape(len(cells), -1)
    return Run(result.outputs, flat, result.scores, result.decisions)


def from_responses(responses: Sequence[Response], detector: bool) -> Run:
    """A run of a firmware."""
    outputs = tuple(np.stack(maps) for maps in zip(*(r.outputs for r in responses), strict=True))
    if not detector:
        return Run(outputs)
    return Run(
        outputs,
        np.stack([r.cells for r in responses]),
        np.array([r.score for r in responses], dtype=np.uint32),
        np.array([r.is_anomalous for r in responses], dtype=np.bool_),
    )
