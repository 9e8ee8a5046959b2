"""PatchCore in C gives the bytes of exhaustive search in numpy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from patchcore_host import PatchcoreHost

from vadgen.detectors.patchcore import Options, PatchcoreTables, features, fit, freeze, lay_out
from vadgen.detectors.pq import FlatBank, PqBank
from vadgen.lower import Value
from vadgen.ref.pq_search import pqnn, pqnn_nearest

SHAPES = {
    "three resolutions": ((16, 16, 6), (8, 8, 10), (4, 4, 8)),
    "one resolution": ((6, 6, 8), (6, 6, 16)),
    "odd sizes": ((13, 11, 4), (7, 6, 8), (4, 3, 12)),
}
SEARCHES = {
    "adc 8": Options(search="adc", n_codes=300, n_subspaces=6, bits=8),
    "adc 4": Options(search="adc", n_codes=90, n_subspaces=12, bits=4),
    "adc small": Options(search="adc", n_codes=90, n_subspaces=12, bits=4, small_tables=True),
    "flat 4 small": Options(search="flat", n_codes=50, bits=4, small_tables=True),
    "adc rotated": Options(search="adc", n_codes=90, n_subspaces=6, bits=4, rotate=True),
    "adc straddling, rotated": Options("adc", 90, n_subspaces=3, bits=4, rotate=True),
    "adc rotated in blocks": Options("adc", 90, n_subspaces=6, bits=4, rotate=True, block=10),
    "adc straddling": Options(search="adc", n_codes=90, n_subspaces=3, bits=4),
    "pqnn": Options(search="pqnn", n_codes=90, n_subspaces=12, bits=4, n_candidates=7),
    "pqnn 8": Options(search="pqnn", n_codes=300, n_subspaces=6, bits=8, n_candidates=2),
    "flat 8": Options(search="flat", n_codes=200, bits=8),
    "flat 4": Options(search="flat", n_codes=50, bits=4),
}


def taps(shapes: tuple[tuple[int, int, int], ...], rng: np.random.Generator) -> tuple[Value, ...]:
    return tuple(
        Value(i, f"tap{i}", h, w, c, float(rng.uniform(0.02, 0.2)), int(rng.integers(-128, 128)))
        for i, (h, w, c) in enumerate(shapes)
    )


def images(values: tuple[Value, ...], n: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Smooth images with noise, so that neighbouring cells resemble each other."""
    out = []
    for v in values:
        x, y = np.meshgrid(np.arange(v.width) / v.width, np.arange(v.rows) / v.rows)
        phase = rng.uniform(0, 6, (n, 1, 1, v.channels)) * 0.2 + np.arange(v.channels)
        wave = np.sin(3 * x[None, :, :, None] + 2 * y[None, :, :, None] + phase)
        noisy = 60 * wave + rng.normal(0, 8, (n, v.rows, v.width, v.channels))
        out.append(np.clip(np.rint(noisy), -128, 127).astype(np.int8))
    return tuple(out)


def expected(
    tables: PatchcoreTables, outputs: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Cells and nearest rows, every cell of which counts."""
    found = tables.find(outputs)
    return tables.score_found(found)[0], found.rows.reshape(-1, *tables.cell_shape)


@pytest.mark.parametrize("halve", [True, False], ids=["halved", "full"])
@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("shapes", SHAPES)
def test_c_equals_exhaustive_search(shapes: str, search: str, halve: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    values = taps(SHAPES[shapes], rng)
    train = images(values, 12, rng)
    tables = fit(lambda: [train], values, replace(SEARCHES[search], halve=halve), seed=1)
    host = PatchcoreHost(tables, tmp_path)
    test = images(values, 3, rng)
    noise = tuple(rng.integers(-128, 128, t.shape).astype(np.int8) for t in test)
    for outputs in (train, test, noise):
        cells, nearest = expected(tables, outputs)
        for i in range(2):
            got = host.run(tuple(o[i] for o in outputs))
            np.testing.assert_array_equal(got[0], cells[i])
            np.testing.assert_array_equal(got[1], nearest[i])
            assert got[2] == cells[i].max()


@pytest.mark.parametrize("search", SEARCHES)
def test_a_region_of_interest(search: str, tmp_path: Path) -> None:
    """The cells that count are those of exhaustive search, the others 0, whatever lies there."""
    rng = np.random.default_rng(13)
    values = taps(SHAPES["three resolutions"], rng)
    train, test = images(values, 24, rng), images(values, 2, rng)
    whole = fit(lambda: [train], values, replace(SEARCHES[search], halve=False), seed=1)
    for i, roi in enumerate((rng.random((9, 9)) < 0.3, np.arange(100).reshape(10, 10) == 57)):
        geometry = lay_out(values, False, roi)
        places = replace(whole.geometry, inside=geometry.inside)
        tables = replace(whole, geometry=places)
        folder = tmp_path / str(i)
        folder.mkdir()
        host = PatchcoreHost(tables, folder)
        cells, scores = tables.score(test)
        inside = tables.geometry.inside
        assert (cells[:, ~inside] == 0).all() and inside.sum() < inside.size
        for k in range(2):
            got = host.run(tuple(o[k] for o in test))
            np.testing.assert_array_equal(got[0], cells[k])
            assert got[2] == scores[k]


@pytest.mark.parametrize("kind", ["adc", "pqnn", "flat"])
def test_adversarial_banks(kind: str, tmp_path: Path) -> None:
    """Rows that are all the same, in pairs, extreme, or farther the later they come."""
    rng = np.random.default_rng(5)
    values = taps(SHAPES["three resolutions"], rng)
    geometry = lay_out(values, halve=False)
    outputs = tuple(
        rng.choice(np.array([-128, 0, 127], np.int8), (2, v.rows, v.width, v.channels))
        for v in values
    )
    vectors = features(outputs, geometry).reshape(-1, geometry.dims)
    base = freeze(vectors[:64], geometry, Options(search="flat", n_codes=64, bits=8), seed=0)
    d, n = geometry.dims, 40
    steps = np.linspace(127, -127, n).astype(np.int8)
    banks = {
        "equal": np.zeros((n, d), np.int8),
        "pairs": np.repeat(rng.integers(-127, 128, (n // 2, d)), 2, axis=0).astype(np.int8),
        "extreme": rng.choice(np.array([-127, 127], np.int8), (n, d)),
        "descending": np.repeat(steps[:, None], d, axis=1),
        "ascending": np.repeat(steps[::-1, None], d, axis=1),
    }
    for name, rows in banks.items():
        bank: FlatBank | PqBank = FlatBank(rows)
        if kind != "flat":
            codewords = rng.integers(-127, 128, (d // 4, 16, 4)).astype(np.int8)
            codewords[:, 8:] = codewords[:, :8]  # codes that tie
            codes = rng.integers(0, 16, (n, d // 4)).astype(np.uint8)
            codes[n // 2 :] = codes[: n // 2] ^ 8
            bank = PqBank(codewords, codes)
        tables = replace(base, bank=bank, search=kind, n_candidates=3)
        folder = tmp_path / name
        folder.mkdir()
        host = PatchcoreHost(tables, folder)
        cells, nearest = expected(tables, outputs)
        got = host.run(tuple(o[0] for o in outputs))
        np.testing.assert_array_equal(got[0], cells[0])
        np.testing.assert_array_equal(got[1], nearest[0])


def test_pqnn_of_many_queries_is_pqnn_of_each() -> None:
    rng = np.random.default_rng(4)
    codewords = rng.integers(-127, 128, (5, 16, 4)).astype(np.int8)
    codes = rng.integers(0, 16, (40, 5)).astype(np.uint8)
    codes[20:] = codes[:20]  # ties, also at the last candidate
    many = rng.integers(-128, 128, (60, 20)).astype(np.int8)
    for n_candidates in (1, 2, 9, 40):
        distances, rows = pqnn_nearest(codewords, codes, many, n_candidates, block=25)
        for i, query in enumerate(many):
            expected = pqnn(codewords, codes, query, n_candidates, 1)
            assert (distances[i], rows[i]) == (expected[0][0], expected[1][0])


@pytest.mark.parametrize("centroids", [16, 40])
def test_pqnn_misses_the_rows_that_both_phases_miss(centroids: int, tmp_path: Path) -> None:
    """Coarse codes of noise: the nearest row is often no candidate, and often it is one."""
    rng = np.random.default_rng(8)
    values = taps(SHAPES["three resolutions"], rng)
    geometry = lay_out(values, halve=False)
    outputs = tuple(
        rng.integers(-128, 128, (2, v.rows, v.width, v.channels)).astype(np.int8) for v in values
    )
    vectors = features(outputs, geometry).reshape(-1, geometry.dims)
    base = freeze(vectors[:64], geometry, Options(search="flat", n_codes=64, bits=8), seed=0)
    for m, n_candidates in ((3, 1), (3, 5), (6, 2), (2, 12)):
        codewords = rng.integers(-127, 128, (m, centroids, geometry.dims // m)).astype(np.int8)
        codes = rng.integers(0, centroids, (150, m)).astype(np.uint8)
        codes[100:] = codes[:50]
        tables = replace(
            base, bank=PqBank(codewords, codes), search="pqnn", n_candidates=n_candidates
        )
        folder = tmp_path / f"{m}_{n_candidates}"
        folder.mkdir()
        host = PatchcoreHost(tables, folder)
        cells, nearest = expected(tables, outputs)
        missed = (nearest != expected(replace(tables, search="adc"), outputs)[1]).mean()
        assert 0.02 < missed < 0.98
        for i in range(2):
            got = host.run(tuple(o[i] for o in outputs))
            np.testing.assert_array_equal(got[0], cells[i])
            np.testing.assert_array_equal(got[1], nearest[i])


def test_pqnn_with_all_candidates_is_adc(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    values = taps(SHAPES["three resolutions"], rng)
    train = images(values, 8, rng)
    options = Options(search="pqnn", n_codes=60, n_subspaces=12, bits=4, n_candidates=60)
    tables = fit(lambda: [train], values, options, seed=1)
    host = PatchcoreHost(tables, tmp_path)
    exact = replace(tables, search="adc").score(train)[0]
    np.testing.assert_array_equal(host.run(tuple(o[0] for o in train))[0], exact[0])
