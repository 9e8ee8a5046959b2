"""PatchCore's fit, its ledger, trimming, and the choice of a bank."""

from __future__ import annotations

import csv
import math
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import nanopq
import numpy as np
import pytest

from vadgen.detectors.coreset import BatchedCoreset
from vadgen.detectors.patchcore import (
    Options,
    Outputs,
    PatchcoreTables,
    add_batches,
    code,
    features,
    fit,
    freeze,
    instructions,
    lay_out,
    ledger,
    options_of,
    patch_multiplier,
    summary,
)
from vadgen.detectors.picker import LEAST_CODES, MOST_NOISE, Given, Limits, is_open, pick
from vadgen.errors import Exit, VadgenError
from vadgen.looked import Looked
from vadgen.lower import Value
from vadgen.ref.patch import Patch, patches
from vadgen.ref.patchcore import queries, to_scores

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
VALUES = (
    Value(0, "fine", 16, 16, 8, 0.05, 3),
    Value(1, "middle", 8, 8, 16, 0.08, -20),
    Value(2, "coarse", 4, 4, 24, 0.03, 0),
)


def images(n: int, seed: int, spot: bool = False) -> Outputs:
    """Waves with noise; with `spot` each image has a patch like nothing else."""
    rng = np.random.default_rng(seed)
    out = []
    for v in VALUES:
        x, y = np.meshgrid(np.arange(v.width) / v.width, np.arange(v.rows) / v.rows)
        phase = rng.uniform(0, 0.6, (n, 1, 1, 1)) + np.arange(v.channels)
        wave = 50 * np.sin(4 * x[None, ..., None] + 3 * y[None, ..., None] + phase)
        noisy = wave + rng.normal(0, 5, (n, v.rows, v.width, v.channels))
        if spot:
            part = v.rows // 4
            noisy[:, part : 2 * part, part : 2 * part] = rng.normal(0, 60, (n, 1, 1, v.channels))
        out.append(np.clip(np.rint(noisy), -128, 127).astype(np.int8))
    return tuple(out)


def once(outputs: Outputs, size: int = 8) -> Iterator[Outputs]:
    for i in range(0, len(outputs[0]), size):
        yield tuple(o[i : i + size] for o in outputs)


def test_patches_are_averages_with_zero_padding() -> None:
    rng = np.random.default_rng(0)
    tap = rng.integers(-128, 128, (1, 6, 5, 3)).astype(np.int8)
    for window, stride in ((3, 1), (4, 2)):
        multiplier, shift = patch_multiplier(0.4 / window**2)
        got = patches(tap, Patch(-7, window, stride, multiplier, shift))
        padded = np.pad(tap[0].astype(float) + 7, ((1, 4), (1, 4), (0, 0)))
        for y in range(got.shape[1]):
            for x in range(got.shape[2]):
                part = padded[y * stride :, x * stride :][:window, :window]
                mean = part.sum(axis=(0, 1)) / window**2 * 0.4
                assert np.abs(got[0, y, x] - np.clip(mean, -127, 127)).max() <= 0.51


@pytest.mark.parametrize("real", [1e-7, 0.003, 0.25, 0.9999999, 7.0, 5000.0])
def test_multiplier_is_close(real: float) -> None:
    multiplier, shift = patch_multiplier(real)
    assert 0 <= multiplier < 1 << 18
    assert 1 <= shift <= 30
    assert multiplier / 2**shift == pytest.approx(real, rel=1e-5, abs=2**-31)


def test_levels_are_coarsest_first_and_share_a_resolution() -> None:
    geometry = lay_out(VALUES, halve=True)
    assert [(v.rows, v.first_dim, v.end_dim) for v in geometry.levels] == [(4, 0, 24), (8, 24, 48)]
    assert [(t.level, t.first_dim, t.patch.window) for t in geometry.taps] == [
        (1, 0, 4),
        (1, 8, 3),
        (0, 0, 3),
    ]
    assert [v.rows for v in lay_out(VALUES, halve=False).levels] == [4, 8, 16]
    assert [v.rows for v in lay_out(VALUES[:1], halve=True).levels] == [16]


def test_integer_distances_follow_real_ones() -> None:
    train, test = images(24, 0), images(6, 1, spot=True)
    tables = fit(lambda: once(train), VALUES, Options("flat", 300), seed=0)
    cells, scores = tables.score(test)
    geometry = lay_out(VALUES, halve=True)
    bank = features(train, geometry).reshape(-1, geometry.dims)
    normal = images(6, 2)
    vectors = features(normal, geometry)
    rows = tables.bank.decode() * (tables.unit * 256)
    real = np.sqrt(((vectors[..., None, :] - rows) ** 2).sum(axis=-1).min(axis=-1))
    found = tables.find(normal)
    assert np.abs(found.distances * tables.unit - real).max() < 0.05 * real.max()
    grid = np.pad(real.reshape(6, 8, 8), ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows3 = grid[:, :-2] + 2 * grid[:, 1:-1] + grid[:, 2:]
    mean = (rows3[:, :, :-2] + 2 * rows3[:, :, 1:-1] + rows3[:, :, 2:]) / 16
    np.testing.assert_allclose(
        tables.score_found(found)[0] * tables.scale, mean, atol=0.05 * real.max()
    )
    assert (scores == cells.max(axis=(1, 2))).all()
    assert scores.min() > tables.score(normal)[1].max()
    assert np.abs(bank).max() == pytest.approx(127 * 256 * tables.unit, rel=0.2)


@pytest.mark.parametrize(
    "options",
    [
        Options("flat", 200, bits=8),
        Options("flat", 100, bits=8, reweight=True),
        Options("flat", 60, bits=4),
        Options("adc", 260, n_subspaces=6, bits=8),
        Options("adc", 100, n_subspaces=6, bits=8, n_centroids=64),
        Options("adc", 60, n_subspaces=16, bits=4),
        Options("adc", 60, n_subspaces=12, bits=4, rotate=True),
        Options("adc", 60, n_subspaces=12, bits=4, rotate=True, block=10),
        Options("adc", 60, n_subspaces=12, bits=4, small_tables=True),
        Options("pqnn", 60, n_subspaces=12, bits=4, n_candidates=9, reweight=True),
    ],
)
def test_ledger_counts_what_is_printed(options: Options) -> None:
    train = images(12, 0)
    tables = fit(lambda: once(train), VALUES, options, seed=0)
    printed = code(tables)
    words = 0 if printed.codewords is None else printed.codewords.nbytes
    count = ledger(tables.geometry, options)
    turns = sum(t.weights.nbytes + t.bias.nbytes + t.order.nbytes for t in printed.rotations)
    weighing = 0 if printed.reweight is None else printed.powers.nbytes
    rows = sum(part.rows.nbytes for part in printed.parts)
    assert count.flash_bytes == words + turns + weighing + rows
    assert count.table_bytes + count.heap_bytes == 4 * printed.table_words
    sink = tables.sink
    assert count.ram_bytes == sink.state_bytes + sink.scratch_bytes
    assert count == ledger(tables.geometry, options_of(tables))
    assert count.float_bytes == 4 * options.n_codes * 48
    assert (count.heap_bytes > 0) == (options.search == "pqnn")


@pytest.mark.parametrize(
    "options, said",
    [
        (Options("flat", 60, bits=8), "60 rows of 48 int8 values"),
        (Options("flat", 60, bits=4), "60 rows of 48 values of 4 bits"),
        (Options("adc", 60, n_subspaces=12, bits=4, rotate=True), "12 codes of 4 bits, rotated"),
        (Options("adc", 60, n_subspaces=12, bits=4, rotate=True, block=8), ", rotated in 8s"),
    ],
)
def test_a_bank_in_a_line(options: Options, said: str) -> None:
    assert said in summary(fit(lambda: once(images(8, 0)), VALUES, options, seed=0))


def test_python_bytes_are_those_of_the_objects() -> None:
    """What nanopq holds, and what one query makes with it."""
    geometry, n, k = lay_out(VALUES), 300, 20
    rows = np.random.default_rng(0).normal(0, 1, (n, 48)).astype(np.float32)
    distances = np.zeros(n, np.float32)
    pq = nanopq.PQ(6, 16, verbose=False).fit(rows, iter=1)
    codes = pq.encode(rows)
    table = pq.dtable(rows[0])
    held = sum(map(sys.getsizeof, (pq.codewords, codes, table.dtable, distances)))
    options = Options("adc", n, k, n_subspaces=6, bits=4)
    assert ledger(geometry, options).python_bytes == held
    order = np.argsort(table.adist(codes))[:k]
    decoded = pq.decode(codes[order])
    refined = ((decoded - rows[0]) ** 2).sum(axis=1)
    held += sum(map(sys.getsizeof, (order.copy(), decoded, refined)))
    assert ledger(geometry, replace(options, search="pqnn")).python_bytes == held
    flat = sys.getsizeof(rows) + sys.getsizeof(distances)
    assert ledger(geometry, Options("flat", n)).python_bytes == flat
    assert ledger(geometry, options).python_float_bytes == flat


@pytest.mark.parametrize("block", [None, 8, 12])
def test_a_rotation_keeps_distances_and_makes_codes_truer(block: int | None) -> None:
    train, normals = images(24, 0), images(6, 1)
    exact = fit(lambda: once(train), VALUES, Options("flat", 200), seed=0)
    truth = exact.find(normals).distances * exact.unit
    errors = []
    for rotate in (False, True):
        options = Options("adc", 200, n_subspaces=12, bits=4)
        options = replace(options, rotate=True, block=block) if rotate else options
        tables = fit(lambda: once(train), VALUES, options, seed=0)
        errors.append(np.std(tables.find(normals).distances * tables.unit - truth) / truth.std())
    assert errors[1] < 0.7 * errors[0]
    geometry = tables.geometry
    plain = queries(normals, geometry.taps, geometry.levels).astype(float)
    turned = queries(normals, geometry.taps, geometry.levels, tables.rotations) * 1.0
    ratio = exact.scale / tables.scale
    between = np.linalg.norm(plain[0] - plain[1], axis=-1) * ratio
    assert np.abs(np.linalg.norm(turned[0] - turned[1], axis=-1) - between).max() < 3
    assert between.max() > 20
    for level, rotation in zip(geometry.levels, tables.rotations, strict=True):
        assert sorted(rotation.order.tolist()) == list(range(level.dims))
        weights = rotation.weights.astype(float)
        for first in range(0, level.dims, rotation.block):
            width = min(rotation.block, level.dims - first)
            real, weights = weights[: width**2].reshape(width, width), weights[width**2 :]
            gram = real @ real.T
            np.testing.assert_allclose(gram / np.diag(gram).mean(), np.eye(width), atol=0.03)
        assert len(weights) == 0


def test_same_seed_same_tables() -> None:
    train = images(12, 0)
    options = Options("adc", 100, n_subspaces=12, bits=4)
    first, second = (fit(lambda: once(train), VALUES, options, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.bank.decode(), second.bank.decode())
    assert first.scale == second.scale


def test_trimming_keeps_bad_images_out_of_the_bank() -> None:
    good, bad = images(40, 0), images(2, 9, spot=True)
    train = tuple(np.concatenate([g, b]) for g, b in zip(good, bad, strict=True))
    normal = images(10, 5)
    margins = []
    for trim in (0.0, 0.02):
        tables = fit(lambda: once(train), VALUES, Options("flat", 400, trim=trim), seed=0)
        margins.append(tables.score(bad)[1].min() / tables.score(normal)[1].max())
    assert margins[0] < 1 < 1.5 < margins[1]


def test_fit_refuses_what_cannot_be() -> None:
    train = images(2, 0)
    with pytest.raises(VadgenError, match="128 patches are fewer than the 500 rows"):
        fit(lambda: once(train), VALUES, Options("flat", 500), seed=0)
    with pytest.raises(VadgenError, match="0 patches are fewer"):
        fit(lambda: iter(()), VALUES, Options("flat", 10), seed=0)
    with pytest.raises(VadgenError, match="not rotated have no blocks"):
        fit(lambda: once(train), VALUES, Options(n_codes=60, block=8), seed=0)
    with pytest.raises(VadgenError, match="7 subspaces do not divide 48"):
        fit(lambda: once(train), VALUES, Options("adc", 64, n_subspaces=7, bits=4), seed=0)
    many = tuple(Value(i, "t", 2 * i + 2, 2 * i + 2, 4, 0.1, 0) for i in range(6))
    with pytest.raises(VadgenError, match="6 resolutions"):
        lay_out(many, halve=False)


LIMITS = Limits(flash_bytes=14_000, ram_bytes=60_000, instructions=10**9)


def count_as_if_plain(tables: PatchcoreTables, outputs: Outputs) -> Looked:
    """All rows of the bank, for each cell."""
    seen = len(outputs[0]) * int(tables.geometry.inside.sum()) * tables.bank.n_codes
    return Looked(rows=seen, kept=seen, look_ups=10 * seen)


def choose(given: Given, limits: Limits = LIMITS) -> tuple[Options, ...]:
    train, normals, painted = images(24, 0), images(6, 1), images(6, 2, spot=True)
    weighed = pick(
        lambda: once(train),
        normals,
        painted,
        VALUES,
        given,
        limits,
        Options(),
        seed=0,
        count=count_as_if_plain,
    )
    for j in weighed:
        assert j.flash_bytes <= limits.flash_bytes
        assert j.ram_bytes <= limits.ram_bytes
        assert j.bank_bytes <= (limits.bank_bytes or j.bank_bytes)
        assert j.painted_auroc == 1
    quiet = [j for j in weighed if j.noise <= MOST_NOISE] or weighed
    assert weighed[0] in quiet
    assert weighed[0].error <= 1.1 * min(j.error for j in quiet)
    return tuple(j.options for j in weighed)


def test_the_picker_weighs_every_kind_that_fits() -> None:
    options = choose(Given())
    kinds = {(o.search, o.bits) for o in options}
    assert {("flat", 8), ("flat", 4), ("adc", 4), ("adc", 8), ("pqnn", 8)} <= kinds
    assert {o.rotate for o in options} == {False, True}
    assert not any(o.small_tables for o in options)
    assert options == choose(Given())


def test_the_picker_keeps_to_what_was_asked_for() -> None:
    given = Given("pqnn", 70, bits=4, n_subspaces=12, n_candidates=5, rotate=False)
    assert not is_open(given)
    options = choose(given)
    assert len(options) == 1
    assert (options[0].search, options[0].n_codes) == ("pqnn", 70)
    assert options[0].n_candidates == 5
    assert is_open(Given(search="flat"))
    assert {o.search for o in choose(Given(search="flat"))} == {"flat"}


def test_the_whole_bank_can_be_capped() -> None:
    options = choose(Given(), replace(LIMITS, bank_bytes=12_900))
    assert any(o.small_tables for o in options)
    with pytest.raises(VadgenError, match="bytes of --bank-bytes") as caught:
        choose(Given(search="adc", n_codes=300), replace(LIMITS, bank_bytes=1024))
    assert caught.value.code is Exit.DOES_NOT_FIT


def test_the_picker_says_what_is_missing() -> None:
    with pytest.raises(VadgenError, match="500 rows, is short by .* bytes of flash") as caught:
        choose(Given(search="flat", bits=8, n_codes=500))
    assert caught.value.code is Exit.DOES_NOT_FIT
    assert caught.value.hint == "--codes 291 fits"
    with pytest.raises(VadgenError, match="bytes of RAM"):
        choose(Given(), replace(LIMITS, ram_bytes=300))
    with pytest.raises(VadgenError, match="instructions"):
        choose(Given(), replace(LIMITS, instructions=1000))


def test_what_was_counted_keeps_to_the_budget() -> None:
    """A bank that costs too much loses rows; where none is left, a firm budget is an error."""
    given = Given(search="adc", bits=4, rotate=False)
    free = {o.n_subspaces: o.n_codes for o in choose(given)}
    weighed = choose(given, replace(LIMITS, instructions=2_500_000))
    assert weighed
    assert all(o.n_codes < free[o.n_subspaces] for o in weighed)
    tight = replace(LIMITS, instructions=1_200_000)
    assert [o.n_codes for o in choose(given, tight)] == [LEAST_CODES]
    with pytest.raises(VadgenError, match="the cheapest asked for, 256 rows, .* instr") as caught:
        choose(given, replace(tight, firm=True))
    assert caught.value.code is Exit.DOES_NOT_FIT
    assert "--instructions" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        (Given("pqnn", 70, 80), "80 candidates are more than the 70 rows", "--candidates 70"),
        (Given("adc", n_subspaces=7), "7 subspaces do not divide 48", "--subspaces 3, 4, 6, 8"),
        (Given("adc", n_codes=100, bits=8), "100 rows are fewer than the 256", "--bits 4"),
        (Given("flat", rotate=True, n_codes=9, bits=8), "flat bank gains nothing", "--search adc"),
        (Given("adc", bits=4, n_centroids=32), "32 centroids are more than 4 bits", "--bits 8"),
    ],
)
def test_sizes_that_contradict_each_other(given: Given, message: str, hint: str) -> None:
    with pytest.raises(VadgenError, match=message) as caught:
        choose(given)
    assert caught.value.code is Exit.INPUT
    assert hint in caught.value.hint


def test_patches_that_cannot_be_picked_from() -> None:
    few, normals = images(1, 0), images(2, 1)
    one = tuple(o[:, :2, :2] for o in few)
    values = tuple(replace(v, rows=2, width=2) for v in VALUES)
    with pytest.raises(VadgenError, match="4 patches are fewer than the centroids"):
        pick(
            lambda: once(one),
            tuple(o[:, :2, :2] for o in normals),
            tuple(o[:, :2, :2] for o in normals),
            values,
            Given(search="adc"),
            LIMITS,
            Options(),
            seed=0,
            count=count_as_if_plain,
        )
    with pytest.raises(VadgenError, match="0 patches"):
        pick(
            lambda: iter(()),
            normals,
            normals,
            VALUES,
            Given(),
            LIMITS,
            Options(),
            seed=0,
            count=count_as_if_plain,
        )


@pytest.mark.parametrize("trim", [0.0, 0.1])
def test_what_cannot_be_a_patch(trim: float) -> None:
    coreset = BatchedCoreset(4, 6, 1 << 26, np.random.default_rng(0))
    bad = np.ones((3, 2, 2, 6), np.float32)
    bad[1, 1, 0, 2] = np.nan
    with pytest.raises(VadgenError, match="not finite"):
        add_batches(lambda: [bad], trim, coreset, seed=0)
    coreset = BatchedCoreset(4, 6, 1 << 26, np.random.default_rng(0))
    with pytest.raises(VadgenError, match="no pictures|0 patches"):
        add_batches(list, trim, coreset, seed=0)
        coreset.select()


def test_more_rows_cost_more_instructions() -> None:
    geometry = lay_out(VALUES, halve=True)
    for options in (Options("flat"), Options("adc", n_subspaces=6), Options("pqnn", n_subspaces=6)):
        costs = [instructions(geometry, replace(options, n_codes=n)) for n in (300, 1000, 4000)]
        assert costs == sorted(costs)
        assert costs[0] < costs[2]


def test_instructions_of_counted_searches() -> None:
    """What the search looked at gives the instructions of the emulated Cortex-M7 within 10 %."""
    shapes = ((56, 24), (28, 40), (14, 112))  # EfficientNet-Lite0's taps at 224 pixels
    geometry = lay_out([Value(i, "tap", n, n, c, 0.05, 0) for i, (n, c) in enumerate(shapes)])
    lines = (BENCHMARKS / "search_counts.csv").read_text(encoding="utf-8").splitlines()
    found = list(csv.DictReader(lines))
    for line in found:
        search, size = line["kind"].replace(",", "").split()[:2]
        m, _, bits = size.rpartition("x")
        options = Options(
            search,  # type: ignore[arg-type]
            int(line["bank_rows"]),
            n_subspaces=int(m or 1),
            bits=int(bits),
            rotate="rotated" in line["kind"],
            small_tables="small tables" in line["kind"],
        )
        looked = Looked(*(int(line[field.name]) for field in fields(Looked)))
        counted = int(line["instructions"])
        assert instructions(geometry, options, looked) == pytest.approx(counted, rel=0.1), line
    assert {"adc", "flat", "pqnn"} == {line["kind"].split()[0] for line in found}


def test_freezing_a_bank_of_zeros() -> None:
    geometry = lay_out(VALUES, halve=True)
    tables = freeze(np.zeros((20, 48), np.float32), geometry, Options("flat", 20), seed=0)
    assert tables.score(images(1, 0))[1][0] > 0


@pytest.mark.parametrize("squared", [0, 1, 2, 3, 4, 99, 2**31 - 1, 65_535**2, 2**32 - 1])
def test_scores_are_floored_roots(squared: int) -> None:
    assert to_scores(np.array([squared], np.uint32))[0] == math.isqrt(squared << 16)


def peak_of_fit(n_images: int, coreset_memory: int) -> int:
    """Greatest traced memory of a fit whose images are drawn as they are asked for."""
    values = (Value(0, "fine", 8, 8, 8, 0.05, 0), Value(1, "coarse", 4, 4, 16, 0.05, 0))

    def batches() -> Iterator[Outputs]:
        rng = np.random.default_rng(0)
        for first in range(0, n_images, 32):
            n = min(32, n_images - first)
            yield tuple(
                rng.integers(-90, 91, (n, v.rows, v.width, v.channels), np.int8) for v in values
            )

    options = Options("flat", 64, halve=False, coreset_memory=coreset_memory)
    tracemalloc.start()
    try:
        fit(batches, values, options, seed=0)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "n_images", [3000, pytest.param(100_000, marks=pytest.mark.slow)], ids=["3k", "100k"]
)
def test_a_fit_keeps_to_the_coreset_memory_whatever_the_images(n_images: int) -> None:
    """3,000 images hold 192,000 patches, more than fit: they are merged and reduced."""
    limit = 36 * 1024**2
    one_batch = 2 * 1024**2
    few, many = (peak_of_fit(n, limit) for n in (500, n_images))
    assert many <= limit + one_batch
    assert many <= few + one_batch
