"""Codes and distances of the integer quantizer against faiss, an implementation of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vadgen.detectors.pq import PqBank, quantize
from vadgen.ref.pq_search import adc, look_up, tables

faiss = pytest.importorskip("faiss", reason="faiss-cpu is not installed (extra `dev`)")

N, M, DS = 1000, 16, 11
D = M * DS


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Rows in clusters, in steps of the int8 scale."""
    rng = np.random.default_rng(0)
    centers = rng.normal(0, 35, (40, D))
    rows = centers[rng.integers(0, 40, N)] + rng.normal(0, 9, (N, D))
    return np.clip(rows, -127, 127).astype(np.float32)


@pytest.fixture(scope="module")
def bank(rows: np.ndarray) -> PqBank:
    return quantize(rows, M, 256, seed=0)


@pytest.fixture(scope="module")
def index(bank: PqBank, rows: np.ndarray) -> Any:
    """faiss with our codebook; codes and distances are its own."""
    faiss.omp_set_num_threads(1)
    index = faiss.IndexPQ(D, M, 8)
    faiss.copy_array_to_vector(bank.codewords.astype(np.float32).ravel(), index.pq.centroids)
    index.is_trained = True
    index.add(rows)
    return index


def test_the_same_codes(bank: PqBank, index: Any) -> None:
    theirs = faiss.vector_to_array(index.codes).reshape(N, M)
    np.testing.assert_array_equal(theirs, bank.codes)


def test_distances_of_int8_queries_are_the_same_numbers(bank: PqBank, index: Any) -> None:
    """Sums of squares below 2^24 are exact in faiss's float32 too."""
    queries = np.random.default_rng(1).integers(-128, 128, (50, D)).astype(np.int8)
    theirs, ids = index.search(queries.astype(np.float32), N)
    assert theirs.max() < 2**24
    for query, distances, order in zip(queries, theirs, ids, strict=True):
        ours = look_up(tables(bank.codewords, query), bank.codes)
        np.testing.assert_array_equal(ours[order], distances.astype(np.int64))
        assert adc(bank.codewords, bank.codes, query)[0] == distances[0]


def test_distances_of_real_queries_differ_by_their_rounding(
    rows: np.ndarray, bank: PqBank, index: Any
) -> None:
    """A query is rounded to int8: no distance changes by more than the rounding, 0.5 sqrt(D)."""
    rng = np.random.default_rng(2)
    real = np.clip(rows[:50] + rng.normal(0, 3, (50, D)), -127, 127).astype(np.float32)
    theirs, ids = index.search(real, N)
    rounded = np.rint(real).astype(np.int8)
    for query, given, distances, order in zip(rounded, real, theirs, ids, strict=True):
        ours = np.sqrt(look_up(tables(bank.codewords, query), bank.codes)[order])
        bound = np.linalg.norm(given - query)
        assert bound <= 0.5 * np.sqrt(D)
        assert np.abs(ours - np.sqrt(distances)).max() <= bound * 1.001


def test_the_codebook_is_as_good_as_theirs(rows: np.ndarray, bank: PqBank) -> None:
    """Trained on the same rows, ours being int8: the squared error is at most a tenth larger."""
    theirs = faiss.ProductQuantizer(D, M, 8)
    theirs.cp.seed = 1
    theirs.train(rows)
    decoded = theirs.decode(theirs.compute_codes(rows))
    error = ((rows - decoded) ** 2).sum()
    assert ((rows - bank.decode()) ** 2).sum() <= 1.1 * error
