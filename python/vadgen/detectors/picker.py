"""Chooses the kind and the sizes of PatchCore's memory bank for a board, by measuring.

No defective picture exists when a detector is built. Two judges stand in: how true a bank's
distances are on normals that it has not seen, and how well it tells defects painted on them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vadgen.detectors.coreset import BatchedCoreset
from vadgen.detectors.patchcore import (
    Batches,
    Geometry,
    Options,
    Outputs,
    PatchcoreTables,
    add_batches,
    check_options,
    features,
    freeze,
    instructions,
    lay_out,
    ledger,
)
from vadgen.detectors.pq import divisors
from vadgen.errors import Exit, VadgenError
from vadgen.looked import Looked
from vadgen.lower import Value
from vadgen.ref.roi import Inside

# What a bank's search looks at over some images, int8 taps.
Count = Callable[[PatchcoreTables, Outputs], Looked]

MAX_CODES = 4096
LEAST_CODES = 256  # a bank of fewer rows is not chosen unless it is asked for
_AUROC_TIE = 0.05  # a few dozen pictures tell no finer
_ERROR_TIE = 1.1
_COUNTED = 4  # pictures
_THREADS = 2  # k-means holds the interpreter; the rest runs beside it
MOST_NOISE = 0.45
# Length of a sub-vector of the quantizers that are weighed, by bits and rotation.
_SUB_DIMS = {(4, False): (2,), (4, True): (2, 4), (8, False): (4, 8), (8, True): (4, 8, 16)}


@dataclass(frozen=True)
class Given:
    """What the user fixed; None and "auto" leave it open."""

    search: str = "auto"
    n_codes: int | None = None
    n_candidates: int | None = None
    n_subspaces: int | None = None
    bits: int | None = None
    n_centroids: int | None = None
    rotate: bool | None = None
    small_tables: bool | None = None
    block: int | None = None


@dataclass(frozen=True)
class Limits:
    """What the board has left: bytes of flash for the bank, of RAM for the state, instructions.

    `bank_bytes` bounds codes, codebooks and look-up tables together, wherever they lie. A bank may
    cost more than the instructions where every one does, unless they are `firm`.
    """

    flash_bytes: int
    ram_bytes: int
    instructions: int
    bank_bytes: int | None = None
    firm: bool = False


@dataclass(frozen=True)
class Judged:
    """One bank that was weighed.

    Attributes:
        options: its kind and sizes.
        flash_bytes, ram_bytes: what it takes.
        instructions: of a picture, from what the search looks at in held-out normals.
        bank_bytes: codes, codebooks and look-up tables.
        noise: error of its distances on held-out normals against those of the float bank of the
            same rows: standard deviation of the difference, over that of the distances.
        error: the same against the largest float bank, so that missing rows count too.
        painted_auroc: image AUROC of painted defects against held-out normals.
    """

    options: Options
    flash_bytes: int
    ram_bytes: int
    instructions: int
    bank_bytes: int
    noise: float
    error: float
    painted_auroc: float


def pick(
    train: Batches,
    normals: Outputs,
    painted: Outputs,
    values: Sequence[Value],
    given: Given,
    limits: Limits,
    base: Options,
    seed: int,
    count: Count,
    roi: Inside | None = None,
) -> tuple[Judged, ...]:
    """Fits one coreset and weighs the banks that its rows make within the limits.

    What a search costs depends on the part: it is counted on held-out normals, and banks that cost
    too much lose rows.

    Banks with a noise above `MOST_NOISE` are set aside while there are others: on `transistor` and
    `magnetic_tile` they lost 0.01 to 0.04 of image AUROC against the float bank of the same rows,
    those below less than 0.01. Of the rest, those whose painted AUROC is within 0.05 of the best;
    of these, those whose error is within a tenth of the least; of these, the one with the fewest
    instructions.

    Args:
        train: int8 taps of training normals, in batches, each time it is called.
        normals: int8 taps of held-out normals.
        painted: int8 taps of held-out normals with painted defects.
        values: the taps, finest first.
        given: what the user fixed.
        limits: what the board has left.
        base: options that are not chosen here.
        seed: of every random choice.
        count: see `Count`.
        roi: mask of the picture, True where it counts; None for all of it.

    Returns:
        All that were weighed, the chosen one first.

    Raises:
        VadgenError: DOES_NOT_FIT when no bank that was asked for fits, with the least that does.
    """
    geometry = lay_out(values, base.halve, roi)
    options = fitting(geometry, given, limits, base)
    n_rows = max(o.n_codes for o in options)
    rng = np.random.default_rng(seed)
    coreset = BatchedCoreset(n_rows, geometry.dims, base.coreset_memory, rng)
    add_batches(lambda: (features(o, geometry) for o in train()), base.trim, coreset, seed)
    rows = coreset.select(least=min(given.n_codes or 1, n_rows))
    cells = int(geometry.inside.sum())
    most = sum(len(outputs[0]) for outputs in train()) * cells // 2  # fits on folds see fewer
    options = [_shrunk(o, min(len(rows), given.n_codes or most)) for o in options]
    options = [o for o in options if o.is_flat8 or o.n_codes >= o.centroids]
    if not options:
        raise VadgenError(
            f"{len(rows)} patches are fewer than the centroids of every bank asked for",
            "add images, or ask for --search flat --bits 8",
        )
    largest = _float_distances(normals, rows, geometry)
    sample = tuple(tap[:_COUNTED] for tap in normals)

    def weigh(option: Options) -> Judged:
        made = _within_budget(option, rows, geometry, given, limits, sample, count, seed)
        same = _float_distances(normals, rows[: made.option.n_codes], geometry)
        return _judge(made, same, largest, normals, painted)

    with ThreadPoolExecutor(_THREADS) as pool:
        judged = list(pool.map(weigh, options))
    cheap = [j for j in judged if j.instructions <= limits.instructions]
    if not cheap:
        cheap = [min(judged, key=lambda j: j.instructions)]
        if limits.firm:
            raise VadgenError(
                f"no memory bank fits: the cheapest asked for, {cheap[0].options.n_codes} rows, "
                f"is short by {cheap[0].instructions - limits.instructions:,} instructions",
                f"allow --instructions {cheap[0].instructions}, or take a smaller --input",
                Exit.DOES_NOT_FIT,
            )
    return tuple(cheap[i] for i in _ranked(cheap))


@dataclass(frozen=True, eq=False)
class _Made:
    """A bank with what its search costs."""

    option: Options
    tables: PatchcoreTables
    instructions: int


def _within_budget(
    option: Options,
    rows: NDArray[np.float32],
    geometry: Geometry,
    given: Given,
    limits: Limits,
    sample: Outputs,
    count: Count,
    seed: int,
) -> _Made:
    """The bank of this kind with as many rows as its search may look at, or with the fewest."""
    least = _least_codes(option, given)
    while True:
        tables = freeze(rows[: option.n_codes], geometry, option, seed)
        looked = count(tables, sample).over(len(sample[0]))
        cost = instructions(geometry, option, looked)
        if cost <= limits.instructions or option.n_codes <= least:
            return _Made(option, tables, cost)
        fixed = instructions(
            geometry, option, Looked(table_entries=looked.table_entries, sums=looked.sums)
        )
        share = max(limits.instructions - fixed, 0) / (cost - fixed)
        option = _shrunk(option, max(least, math.floor(option.n_codes * share)))


def fitting(geometry: Geometry, given: Given, limits: Limits, base: Options) -> list[Options]:
    """The kinds that were asked for, each with as many rows as the limits allow.

    Raises:
        VadgenError: the sizes contradict each other; DOES_NOT_FIT when none fits.
    """
    kinds = list(_kinds(geometry.dims, given, base))
    found = []
    for option in kinds:
        check_options(option, geometry.dims)
        n = _most_codes(geometry, option, given.n_codes or MAX_CODES, limits)
        if n >= _least_codes(option, given):
            found.append(_shrunk(option, n))
    if not found:
        raise _too_large(geometry, kinds, given, limits)
    large = {_kind_of(o): o.n_codes for o in found if not o.small_tables}
    return [o for o in found if not o.small_tables or o.n_codes > large.get(_kind_of(o), 0)]


def _least_codes(option: Options, given: Given) -> int:
    return given.n_codes or max(LEAST_CODES, 0 if option.is_flat8 else option.centroids)


def _kind_of(option: Options) -> Options:
    """Without sizes that are chosen, and without tables."""
    return replace(option, n_codes=0, n_candidates=0, small_tables=False)


def is_open(given: Given) -> bool:
    """Whether anything is left to choose; a bank whose sizes are all named is taken as it is."""
    sizes = (given.n_codes, given.bits) + (() if given.search == "flat" else (given.n_subspaces,))
    return given.search == "auto" or None in sizes


def _shrunk(option: Options, n_codes: int) -> Options:
    n = min(option.n_codes, n_codes)
    return replace(option, n_codes=n, n_candidates=min(option.n_candidates, n))


def _most_codes(geometry: Geometry, option: Options, most: int, limits: Limits) -> int:
    """Rows of the largest bank of this kind that fits, at most `most`; 0 when none does."""
    n = most
    while n > 0 and not _fits(geometry, replace(option, n_codes=n), limits):
        n -= max(1, n // 64)
    return n


def _fits(geometry: Geometry, option: Options, limits: Limits) -> bool:
    taken = ledger(geometry, option)
    return (
        taken.flash_bytes <= limits.flash_bytes
        and taken.ram_bytes <= limits.ram_bytes
        and (limits.bank_bytes is None or taken.bank_bytes <= limits.bank_bytes)
        and instructions(geometry, option) <= limits.instructions
    )


def _too_large(
    geometry: Geometry, kinds: Sequence[Options], given: Given, limits: Limits
) -> VadgenError:
    """What the smallest bank that was asked for lacks, and what would fit."""

    def least(option: Options) -> Options:
        n = _least_codes(option, given)
        return _shrunk(replace(option, n_codes=n), n)

    smallest = min(map(least, kinds), key=lambda o: ledger(geometry, o).bank_bytes)
    taken = ledger(geometry, smallest)
    needs = (
        ("bytes of flash", taken.flash_bytes, limits.flash_bytes),
        ("bytes of RAM", taken.ram_bytes, limits.ram_bytes),
        ("bytes of --bank-bytes", taken.bank_bytes, limits.bank_bytes or taken.bank_bytes),
        ("instructions", instructions(geometry, smallest), limits.instructions),
    )
    what, need, limit = max(needs, key=lambda n: n[1] / max(n[2], 1))
    most = max(_most_codes(geometry, option, MAX_CODES, limits) for option in kinds)
    hint = f"--codes {most} fits" if most else "a smaller --input or --search auto needs less"
    return VadgenError(
        f"no memory bank fits: the smallest asked for, {smallest.n_codes} rows, is short by "
        f"{need - limit:,} {what}",
        hint,
        Exit.DOES_NOT_FIT,
    )


def _kinds(dims: int, given: Given, base: Options) -> Iterator[Options]:
    """The kinds that were asked for, each with the largest number of rows."""
    base = replace(base, n_codes=given.n_codes or MAX_CODES, n_centroids=given.n_centroids)
    for bits in (4, 8) if given.bits is None else (given.bits,):
        is_asked = given.search == "auto" and given.n_subspaces is None and not given.rotate
        if is_asked or given.search == "flat":
            flat = replace(base, search="flat", bits=bits, rotate=bool(given.rotate))
            yield from _with_tables(given, flat)
        for rotate in (False, True) if given.rotate is None else (given.rotate,):
            if given.search != "flat":
                kind = replace(base, bits=bits, rotate=rotate, block=given.block)
                yield from _products(dims, given, kind)


def _products(dims: int, given: Given, base: Options) -> Iterator[Options]:
    """Product-quantized kinds; unasked, the two-phase search is weighed for one of them."""
    counts = sorted({_divisor(dims, dims / ds) for ds in _SUB_DIMS[base.bits, base.rotate]})
    for m in counts if given.n_subspaces is None else (given.n_subspaces,):
        if given.search != "pqnn":
            yield from _with_tables(given, replace(base, search="adc", n_subspaces=m))
        is_thesis = m == counts[0] and base.bits == 8 and not base.rotate
        if given.search == "pqnn" or (given.search == "auto" and is_thesis):
            candidates = given.n_candidates or min(base.n_candidates, base.n_codes)
            yield replace(base, search="pqnn", n_subspaces=m, n_candidates=candidates)


def _with_tables(given: Given, option: Options) -> Iterator[Options]:
    """The kind with the tables that were asked for, or with either."""
    for small in (False, True) if given.small_tables is None else (given.small_tables,):
        if option.bits == 4 or not small:
            yield replace(option, small_tables=small)


def _divisor(dims: int, wanted: float) -> int:
    return min(divisors(dims), key=lambda m: abs(m - wanted))


def _float_distances(
    outputs: Outputs, rows: NDArray[np.float32], geometry: Geometry
) -> NDArray[np.float64]:
    """Distance of each patch from the nearest row, in features' units."""
    norms = (rows**2).sum(axis=1)
    distances = []
    for i in range(len(outputs[0])):
        vectors = features(tuple(o[i : i + 1] for o in outputs), geometry)
        x = vectors.reshape(-1, geometry.dims)
        squared = (x**2).sum(axis=1) + (norms - 2 * (x @ rows.T)).min(axis=1)
        distances.append(np.sqrt(np.maximum(squared.astype(np.float64), 0)))
    return np.concatenate(distances)


def _judge(
    made: _Made,
    same: NDArray[np.float64],
    largest: NDArray[np.float64],
    normals: Outputs,
    painted: Outputs,
) -> Judged:
    tables = made.tables
    found = tables.find(normals)
    scores = tables.score_found(found)[1]
    distances = found.distances.reshape(-1).astype(np.float64) * tables.unit
    taken = ledger(tables.geometry, made.option)
    return Judged(
        made.option,
        taken.flash_bytes,
        taken.ram_bytes,
        made.instructions,
        taken.bank_bytes,
        _relative(distances, same),
        _relative(distances, largest),
        _auroc(scores, tables.score(painted)[1]),
    )


def _relative(distances: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    return float((distances - truth).std() / max(float(truth.std()), 1e-12))


def _auroc(normal: NDArray[np.uint32], anomalous: NDArray[np.uint32]) -> float:
    """Share of pairs in which the anomalous score is greater; ties count half."""
    greater = (anomalous[:, None] > normal[None]).mean()
    equal = (anomalous[:, None] == normal[None]).mean()
    return float(greater + equal / 2)


def _ranked(judged: Sequence[Judged]) -> list[int]:
    """Indices of the banks, the one to take first."""
    quiet = [j for j in judged if j.noise <= MOST_NOISE] or list(judged)
    best = max(j.painted_auroc for j in quiet)
    telling = [j for j in quiet if j.painted_auroc >= best - _AUROC_TIE]
    least = min(j.error for j in telling)
    good = [j for j in telling if j.error <= least * _ERROR_TIE]

    def key(i: int) -> tuple[int, float]:
        j = judged[i]
        groups = sum(j not in group for group in (quiet, telling, good))
        return groups, j.error if groups else float(j.instructions)

    return sorted(range(len(judged)), key=key)
