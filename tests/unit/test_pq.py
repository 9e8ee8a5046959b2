"""Memory banks in nanopq's format, and the searches that define right."""

from __future__ import annotations

import nanopq
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vadgen.detectors.pq import PqBank, divisors, encode, pack, quantize
from vadgen.errors import VadgenError
from vadgen.ref.flat_search import nearest
from vadgen.ref.pq_search import adc, decode, look_up, pqnn, tables


def random_bank(seed: int, n: int, m: int, bits: int, ds: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    codewords = rng.integers(-127, 128, (m, 1 << bits, ds)).astype(np.int8)
    return codewords, rng.integers(0, 1 << bits, (n, m)).astype(np.uint8)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([4, 8]), st.integers(1, 60), st.integers(1, 5))
def test_adc_is_the_distance_to_decoded_rows(seed: int, bits: int, n: int, m: int) -> None:
    codewords, codes = random_bank(seed, n, m, bits, 3)
    query = np.random.default_rng(seed + 1).integers(-128, 128, 3 * m).astype(np.int8)
    rows = decode(codewords, codes)
    direct = ((rows.astype(np.int64) - query) ** 2).sum(axis=1)
    np.testing.assert_array_equal(look_up(tables(codewords, query), codes), direct)
    assert adc(codewords, codes, query) == (direct.min(), direct.argmin())
    distance, row = nearest(rows, query[None])
    assert (distance[0], row[0]) == (direct.min(), direct.argmin())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 80))
def test_pqnn_with_all_candidates_is_adc(seed: int, n: int) -> None:
    codewords, codes = random_bank(seed, n, 4, 4, 2)
    codes[n // 2 :] = codes[: n - n // 2]  # ties
    query = np.random.default_rng(seed).integers(-128, 128, 8).astype(np.int8)
    distances, rows = pqnn(codewords, codes, query, n, 1)
    assert (distances[0], rows[0]) == adc(codewords, codes, query)


def test_more_candidates_find_the_nearest_more_often() -> None:
    rng = np.random.default_rng(5)
    rows = rng.normal(0, 30, (400, 16)).clip(-127, 127).astype(np.float32)
    bank = quantize(rows, 4, 16, seed=0)
    queries = np.rint(rows[::8] + rng.normal(0, 6, (50, 16))).clip(-127, 127).astype(np.int8)
    exact = [adc(bank.codewords, bank.codes, q)[1] for q in queries]
    found = [
        sum(
            pqnn(bank.codewords, bank.codes, q, k, 1)[1][0] == e
            for q, e in zip(queries, exact, strict=True)
        )
        for k in (1, 20, 400)
    ]
    assert found[0] < found[1] <= found[2] == len(queries)


def test_large_distances_are_exact() -> None:
    rows = np.stack([np.full(3000, 127, np.int8), np.full(3000, -128, np.int8)])
    queries = np.stack([np.full(3000, -128, np.int8), np.zeros(3000, np.int8)])
    distances, indices = nearest(rows, queries)
    assert distances.tolist() == [0, 3000 * 127**2]
    assert indices.tolist() == [1, 0]


def test_the_format_is_nanopqs() -> None:
    rows = np.random.default_rng(0).normal(0, 20, (300, 24)).clip(-127, 127).astype(np.float32)
    bank = quantize(rows, 6, 16, seed=3)
    assert bank.codewords.shape == (6, 16, 4)
    assert bank.codes.shape == (300, 6)
    theirs = nanopq.PQ(6, 16, verbose=False)
    theirs.fit(rows, iter=1)
    theirs.codewords = bank.codewords.astype(np.float32)
    np.testing.assert_array_equal(theirs.encode(rows), bank.codes)
    np.testing.assert_array_equal(theirs.decode(bank.codes), bank.decode())
    assert bank.bits == 4


def test_as_many_rows_as_centroids_are_kept_as_they_are() -> None:
    rows = np.arange(-64, 64, dtype=np.float32).reshape(16, 8)
    bank = quantize(rows, 2, 16, seed=0)
    np.testing.assert_array_equal(bank.decode(), rows)


def test_same_seed_same_bank() -> None:
    rows = np.random.default_rng(1).normal(0, 20, (300, 8)).clip(-127, 127).astype(np.float32)
    first, second = (quantize(rows, 4, 256, seed=9) for _ in range(2))
    np.testing.assert_array_equal(first.codewords, second.codewords)
    np.testing.assert_array_equal(first.codes, second.codes)


def test_packing_puts_the_even_code_low() -> None:
    codes = np.array([[1, 2, 3], [15, 0, 9]], np.uint8)
    assert pack(codes, 8) is codes
    np.testing.assert_array_equal(pack(codes, 4), [[0x21, 0x03], [0x0F, 0x09]])


def test_encoding_takes_the_lowest_index_on_ties() -> None:
    codewords = np.array([[[5], [-5], [5], [0]]], np.int8)
    rows = np.array([[6], [2.5], [-7]], np.float32)
    assert encode(codewords, rows)[:, 0].tolist() == [0, 0, 1]


def test_refusals_say_what_would_fit() -> None:
    rows = np.zeros((100, 24), np.float32)
    with pytest.raises(VadgenError, match="7 subspaces do not divide 24 features") as caught:
        quantize(rows, 7, 16, seed=0)
    assert "--subspaces 3, 4, 6, 8" in caught.value.hint
    with pytest.raises(VadgenError, match="100 rows are fewer than the 256 centroids") as caught:
        quantize(rows, 6, 256, seed=0)
    assert "--bits 4" in caught.value.hint
    with pytest.raises(VadgenError, match="48 subspaces"):
        quantize(rows, 48, 16, seed=0)
    assert divisors(24, 5) == (6, 8, 12, 24)


def test_bank_of_a_thousand_rows_keeps_to_its_flash() -> None:
    """Codes and codebook: at most 64 KB at 8 bits and 26 KB at 4."""
    for bits, m, limit in ((8, 16, 64), (4, 44, 26)):
        bank = PqBank(np.zeros((m, 1 << bits, 176 // m), np.int8), np.zeros((1000, m), np.uint8))
        assert bank.codewords.nbytes + pack(bank.codes, bits).nbytes <= limit * 1000
