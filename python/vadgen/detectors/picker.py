"""Chooses the kind and the sizes of PatchCore's memory bank for a board, by measuring.

No defective picture exists when a detector is built. Two judges stand in: how true a bank's
distances are on normals that it has not seen, and how well it tells defects painted on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
    Search,
    add_batches,
    features,
    fit,
    freeze,
    instructions,
    lay_out,
    ledger,
)
from vadgen.detectors.pq import divisors
from vadgen.errors import Exit, VadgenError
from vadgen.lower import Value

MAX_CODES = 4096
_AUROC_TIE = 0.005
_ERROR_TIE = 1.1
_MOST_NOISE = 0.7
_HELD_BATCHES = 32
_SUB_DIMS = {4: (2, 4, 8), 8: (8, 16)}  # of the quantizers that are weighed, by bits
_CENTROIDS = {4: (16,), 8: (64, 256)}


@dataclass(frozen=True)
class Given:
    """What the user fixed; None and "auto" leave it open."""

    search: str = "auto"
    n_codes: int | None = None
    n_candidates: int | None = None
    n_subspaces: int | None = None
    bits: int | None = None


@dataclass(frozen=True)
class Limits:
    """What the board has left: bytes of flash for the bank, of RAM for the state, instructions."""

    flash_bytes: int
    ram_bytes: int
    instructions: int


@dataclass(frozen=True)
class Judged:
    """One bank that was weighed.

    Attributes:
        options: its kind and sizes.
        flash_bytes, ram_bytes, instructions: what it takes; instructions are an estimate.
        noise: error of its distances on held-out normals against those of the float bank of the
            same rows: standard deviation of the difference, over that of the distances.
        error: the same against the largest float bank, so that missing rows count too.
        painted_auroc: image AUROC of painted defects against held-out normals; None without.
    """

    options: Options
    flash_bytes: int
    ram_bytes: int
    instructions: int
    noise: float
    error: float
    painted_auroc: float | None


@dataclass(frozen=True, eq=False)
class Choice:
    """The bank chosen, frozen, and all that were weighed, the chosen one first."""

    tables: PatchcoreTables
    judged: tuple[Judged, ...]


def pick(
    train: Batches,
    normals: Outputs,
    painted: Outputs | None,
    values: Sequence[Value],
    given: Given,
    limits: Limits,
    base: Options,
    seed: int,
) -> Choice:
    """Fits one coreset and weighs the banks that its rows make within the limits.

    Banks with a noise above 0.7 are set aside while there are others: on `transistor` and
    `magnetic_tile` they lost 0.01 to 0.04 of image AUROC against the float bank of the same rows,
    those below less than 0.01. Of the rest, those whose painted AUROC is within 0.005 of the best;
    of these, those whose error is within a tenth of the least; of these, the one with the fewest
    instructions.

    Args:
        train: int8 taps of the training normals, in batches, each time it is called.
        normals: int8 taps of held-out normals.
        painted: int8 taps of held-out normals with painted defects, or None.
        values: the taps, finest first.
        given: what the user fixed.
        limits: what the board has left.
        base: options that are not chosen here.
        seed: of every random choice.

    Raises:
        VadgenError: DOES_NOT_FIT when no bank that was asked for fits, with the least that does.
    """
    geometry = lay_out(values, base.halve)
    options = _fitting(geometry, given, limits, base)
    n_rows = max(o.n_codes for o in options)
    coreset = BatchedCoreset(
        n_rows, geometry.dims, base.coreset_memory, np.random.default_rng(seed)
    )
    add_batches(train, geometry, base.trim, coreset, seed)
    rows = coreset.select(least=min(given.n_codes or 1, n_rows))
    options = [replace(o, n_codes=min(o.n_codes, len(rows))) for o in options]
    options = [o for o in options if o.is_flat8 or o.n_codes >= o.centroids] or options
    largest = _float_distances(normals, rows, geometry)
    weighed = []
    for option in options:
        own = rows[: option.n_codes]
        tables = freeze(own, geometry, option, seed)
        same = _float_distances(normals, own, geometry)
        weighed.append((_judge(tables, option, same, largest, normals, painted), tables))
    order = _ranked([judged for judged, _ in weighed])
    return Choice(weighed[order[0]][1], tuple(weighed[i][0] for i in order))


def fit_picked(
    train: Batches,
    painted: Outputs | None,
    values: Sequence[Value],
    given: Given,
    limits: Limits,
    base: Options,
    seed: int,
) -> Choice:
    """Picks a bank with every eighth image held out, then fits it on all of them.

    Arguments and errors are those of `pick`; `painted` shows defects on good parts.
    """

    def kept() -> Iterator[Outputs]:
        return (part for part, _ in _split(train()) if len(part[0]))

    held = [part for _, part in _split(train()) if len(part[0])][:_HELD_BATCHES]
    if not held:
        raise VadgenError(
            "too few pictures to choose a memory bank: one in eight is held out",
            "add good pictures, or name the bank: --search flat --codes N",
        )
    normals = tuple(np.concatenate(taps) for taps in zip(*held, strict=True))
    choice = pick(kept, normals, painted, values, given, limits, base, seed)
    taken = choice.judged[0].options
    return Choice(fit(train, values, taken, seed), choice.judged)


def _split(batches: Iterable[Outputs]) -> Iterator[tuple[Outputs, Outputs]]:
    """Each batch without every eighth image, and those images."""
    first = 0
    for outputs in batches:
        held = np.arange(first, first + len(outputs[0])) % 8 == 7
        first += len(held)
        yield tuple(o[~held] for o in outputs), tuple(o[held] for o in outputs)


def _fitting(geometry: Geometry, given: Given, limits: Limits, base: Options) -> list[Options]:
    """The kinds that were asked for, each with as many rows as the limits allow."""
    fitting, least = [], None
    for option in _kinds(geometry.dims, given, base):
        smallest = given.n_codes or (1 if option.is_flat8 else option.centroids)
        n = given.n_codes or MAX_CODES
        while n > smallest and not _fits(geometry, replace(option, n_codes=n), limits):
            n -= max(1, n // 64)
        option = replace(option, n_codes=n, n_candidates=min(option.n_candidates, n))
        if _fits(geometry, option, limits):
            fitting.append(option)
        elif (
            least is None
            or ledger(geometry, option).flash_bytes < ledger(geometry, least).flash_bytes
        ):
            least = option
    if not fitting:
        assert least is not None
        lack = ledger(geometry, least).flash_bytes - limits.flash_bytes
        part, missing = (
            ("flash", lack)
            if lack > 0
            else (
                "RAM",
                ledger(geometry, least).ram_bytes - limits.ram_bytes,
            )
        )
        raise VadgenError(
            f"no memory bank fits: the smallest asked for lacks {max(missing, 0)} bytes of {part}",
            f"ask for fewer than --codes {least.n_codes}, for --bits 4, or for a smaller --input",
            Exit.DOES_NOT_FIT,
        )
    return fitting


def _fits(geometry: Geometry, option: Options, limits: Limits) -> bool:
    return (
        ledger(geometry, option).flash_bytes <= limits.flash_bytes
        and ledger(geometry, option).ram_bytes <= limits.ram_bytes
        and instructions(geometry, option) <= limits.instructions
    )


def _kinds(dims: int, given: Given, base: Options) -> Iterator[Options]:
    for bits in (4, 8) if given.bits is None else (given.bits,):
        if given.search in ("auto", "flat") and given.n_subspaces is None:
            yield replace(base, search="flat", bits=bits)
        if given.search == "flat":
            continue
        search: Search = "pqnn" if given.search == "pqnn" else "adc"
        counts = {_divisor(dims, dims / ds) for ds in _SUB_DIMS[bits]}
        for m in sorted(counts) if given.n_subspaces is None else (given.n_subspaces,):
            for n_centroids in _CENTROIDS[bits] if given.search == "auto" else (1 << bits,):
                yield replace(
                    base,
                    search=search,
                    bits=bits,
                    n_subspaces=m,
                    n_candidates=given.n_candidates or base.n_candidates,
                    n_centroids=n_centroids,
                )


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
    tables: PatchcoreTables,
    option: Options,
    same: NDArray[np.float64],
    largest: NDArray[np.float64],
    normals: Outputs,
    painted: Outputs | None,
) -> Judged:
    cells, scores = tables.score(normals)
    distances = cells.reshape(-1).astype(np.float64) * tables.scale
    geometry = tables.geometry
    return Judged(
        option,
        ledger(geometry, option).flash_bytes,
        ledger(geometry, option).ram_bytes,
        instructions(geometry, option),
        _relative(distances, same),
        _relative(distances, largest),
        None if painted is None else _auroc(scores, tables.score(painted)[1]),
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
    quiet = [j for j in judged if j.noise <= _MOST_NOISE] or list(judged)
    best = max(j.painted_auroc or 0.0 for j in quiet)
    telling = [j for j in quiet if (j.painted_auroc or 0.0) >= best - _AUROC_TIE]
    least = min(j.error for j in telling)
    good = [j for j in telling if j.error <= least * _ERROR_TIE]

    def key(i: int) -> tuple[int, float]:
        j = judged[i]
        groups = sum(j not in group for group in (quiet, telling, good))
        return groups, j.error if groups else float(j.instructions)

    return sorted(range(len(judged)), key=key)
