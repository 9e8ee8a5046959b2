"""The sweep's searches against those that define right; the counters of the search in C."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bank_cases import load_banks

from vadgen.benchmark.pq_sweep import float_distances, two_phase
from vadgen.build.search import count_search
from vadgen.detectors.patchcore import Options, code, fit
from vadgen.detectors.pq import PqBank
from vadgen.looked import Looked
from vadgen.lower import Value
from vadgen.ref.pq_search import adc, pqnn


@pytest.mark.parametrize("bits", [4, 8])
def test_every_k_at_once_is_the_reference_search(bits: int) -> None:
    rng = np.random.default_rng(bits)
    codewords = rng.integers(-127, 128, (6, 1 << bits, 4)).astype(np.int8)
    codes = rng.integers(0, 1 << bits, (90, 6)).astype(np.uint8)
    codes[50:60] = codes[:10]  # ties
    bank = PqBank(codewords, codes)
    queries = rng.integers(-128, 128, (40, 24)).astype(np.int8)
    candidates = (1, 2, 7, 90)
    result = two_phase(bank, queries, candidates)
    for i, query in enumerate(queries):
        for j, k in enumerate(candidates):
            assert result.squared[j, i] == pqnn(codewords, codes, query, k, 1)[0][0]
        assert result.exact[i] == adc(codewords, codes, query)[0]
    shares = [result.found(j) for j in range(4)]
    assert shares == sorted(shares) and shares[0] < shares[3] == 1
    assert two_phase(bank, queries, ()).squared.shape == (0, 40)


def test_float_distances() -> None:
    rng = np.random.default_rng(0)
    vectors, rows = (rng.normal(0, 1, (n, 5)).astype(np.float32) for n in (2000, 30))
    direct = np.sqrt(((vectors[:, None] - rows) ** 2).sum(axis=2)).min(axis=1)
    np.testing.assert_allclose(float_distances(vectors, rows), direct, atol=1e-5)


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("search", ["adc", "pqnn"])
def test_counters_of_the_search(search: str) -> None:
    """One resolution: what two phases build is known beforehand; the exact search saves some."""
    case = next(c for c in load_banks("pq_search") if len(set(t[:2] for t in c.taps)) == 1)
    case = replace(case, search=search, candidates=min(5, case.n_codes), extreme=False)
    tables, images = case.tables(), case.images()
    cells, looked = count_search(code(tables), tables.sink, tables.cell_shape, list(images))
    np.testing.assert_array_equal(cells, case.expected()[0])
    assert isinstance(tables.bank, PqBank)
    m, centroids, _ = tables.bank.codewords.shape
    all_rows = cells.size * case.n_codes * -(-m * tables.bank.bits // 8)
    if search == "pqnn":
        # The query's own code, then the tables of that code.
        assert looked.table_entries == cells.size * 2 * m * centroids
        # All rows by that code; the exact search before it gives some up.
        assert all_rows < looked.look_ups <= 2 * all_rows
    else:
        most = Looked(all_rows, cells.size * m * centroids, cells.size * case.n_codes * m)
        assert looked.look_ups <= most.look_ups
        assert looked.table_entries <= most.table_entries
        assert 0 < looked.look_ups + looked.direct < most.look_ups + most.direct


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("stem", ["rotate", "reweight", "patchcore", "pqnn_search", "flat_search"])
def test_every_kind_of_bank_is_counted_as_data(stem: str) -> None:
    for case in load_banks(stem):
        tables, images = case.tables(), case.images()
        cells, looked = count_search(code(tables), tables.sink, tables.cell_shape, images)
        np.testing.assert_array_equal(cells, case.expected()[0], case.name)
        assert looked.rows >= looked.kept > 0


@pytest.mark.usefixtures("cache")
def test_the_exact_search_reads_at_most_a_third_of_the_tables() -> None:
    """1,000 rows of 16 codes; smooth pictures with noise, of which the bank has seen the like."""
    rng = np.random.default_rng(0)
    values = [Value(i, "tap", n, n, c, 0.05, 0) for i, (n, c) in enumerate(((16, 24), (8, 40)))]

    def pictures(count: int) -> tuple[np.ndarray, ...]:
        taps = []
        for v in values:
            x, y = np.meshgrid(np.arange(v.width) / v.width, np.arange(v.rows) / v.rows)
            turn = rng.uniform(0, 1.5, (count, 1, 1, 1)) + np.arange(v.channels)
            wave = 60 * np.sin(4 * x[None, ..., None] + 3 * y[None, ..., None] + turn)
            taps.append(np.clip(wave + rng.normal(0, 6, wave.shape), -128, 127).astype(np.int8))
        return tuple(taps)

    train, test = pictures(30), pictures(3)
    options = Options("adc", 1000, n_subspaces=16, bits=8, halve=False)
    tables = fit(lambda: [train], values, options, seed=0)
    cells, looked = count_search(code(tables), tables.sink, tables.cell_shape, list(test))
    np.testing.assert_array_equal(cells, tables.score(test)[0])
    assert looked.look_ups <= 0.35 * cells.size * 1000 * 16
