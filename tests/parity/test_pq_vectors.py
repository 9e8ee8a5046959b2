"""PatchCore's vectors: stored digest == numpy reference == C."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bank_cases import N_IMAGES, STEMS, load_banks
from patchcore_host import PatchcoreHost


@pytest.mark.parametrize("stem", STEMS)
def test_reference(stem: str) -> None:
    for case in load_banks(stem):
        assert case.digest(*case.expected()) == case.sha256, case.name


@pytest.mark.parametrize("stem", STEMS)
def test_c(stem: str, tmp_path: Path) -> None:
    for i, case in enumerate(load_banks(stem)):
        folder = tmp_path / str(i)
        folder.mkdir()
        host, images = PatchcoreHost(case.tables(), folder), case.images()
        runs = [host.run(tuple(tap[n] for tap in images)) for n in range(N_IMAGES)]
        cells, nearest, scores = (np.stack([run[k] for run in runs]) for k in (0, 1, 2))
        assert case.digest(cells, nearest, scores) == case.sha256, case.name


def test_names_and_seeds_are_distinct() -> None:
    cases = [case for stem in STEMS for case in load_banks(stem)]
    assert len({case.seed for case in cases}) == len(cases)
