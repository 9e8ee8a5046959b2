"""What a memory bank takes on the device, and what it would take otherwise; what it looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vadgen.build.search import count_search
from vadgen.errors import VadgenError
from vadgen.looked import Looked
from vadgen.pipeline.cache import Outputs
from vadgen.pipeline.detector import Detector
from vadgen.plan.planner import Plan

if TYPE_CHECKING:
    from vadgen.detectors.patchcore import PatchcoreTables

OTHER_ROWS = (250, 500, 1000, 2000, 4000)


_PATCHES = {"vad_patch_row", "vad_patchcore_patches", "vad_rotate"}
_TABLES = {
    *("vad_pq_make_tables", "centroid_distances", "two_distances", "paired_distances"),
    *("vad_squared_distances", "fours_distances", "first_distances", "more_distances"),
}


def search_parts(by_function: Mapping[str, int]) -> dict[str, int]:
    """Instructions that make the patches and the look-up tables of a memory bank's search.

    Args:
        by_function: instructions by function; names may carry a compiler's suffix.
    """

    def of(names: set[str]) -> int:
        return sum(n for name, n in by_function.items() if name.partition(".")[0] in names)

    return {"patches": of(_PATCHES), "tables": of(_TABLES)}


def look_at(tables: PatchcoreTables, images: Outputs) -> tuple[NDArray[np.uint32], Looked]:
    """Runs the search as it is shipped on this computer.

    Args:
        tables: the detector.
        images: its int8 taps.

    Returns:
        cells uint32 (n, rows, cols), and what the search looked at over all images.
    """
    from vadgen.detectors.patchcore import code

    return count_search(code(tables), tables.sink, tables.cell_shape, images)


def bank_of(detector: Detector, plan: Plan) -> dict[str, Any] | None:
    """The ledger of the detector's own bank, as `size.json` holds it; None without a bank."""
    from vadgen.detectors.patchcore import PatchcoreTables, options_of

    tables = detector.tables
    if not isinstance(tables, PatchcoreTables):
        return None
    return _ledger(tables, options_of(tables), plan.waiting_bytes)


def other_banks(
    detector: Detector,
    waiting_bytes: int,
    codes: Sequence[int] = (),
    candidates: Sequence[int] = (),
) -> list[dict[str, Any]]:
    """Ledgers of banks like the detector's own, for every N of `codes` and K of `candidates`.

    Args:
        detector: one with a memory bank.
        waiting_bytes: RAM of the patches that wait for the search.
        codes: rows; empty for those of its own bank.
        candidates: of the two-phase search; empty for the search that it has.

    Raises:
        VadgenError: the detector has no bank, the bank has no codes to search in two phases, or
            there are more candidates than rows, or fewer rows than centroids.
    """
    from vadgen.detectors.patchcore import PatchcoreTables, options_of

    tables = detector.tables
    if not isinstance(tables, PatchcoreTables):
        raise VadgenError(
            f"{detector.title} has no memory bank",
            "leave --codes and --candidates out, or build with --detector patchcore",
        )
    own = options_of(tables)
    if candidates and own.search == "flat":
        raise VadgenError(
            "a flat bank is not searched in two phases: it has no --candidates",
            "leave --candidates out, or build with --search pqnn",
        )
    ledgers = []
    for n in codes or (own.n_codes,):
        if not own.is_flat8 and n < own.centroids:
            raise VadgenError(
                f"{n} rows are fewer than the {own.centroids} centroids of a subspace",
                f"ask for --codes {own.centroids} or more",
            )
        if not candidates:
            few = replace(own, n_codes=n, n_candidates=min(own.n_candidates, n))
            ledgers.append(_ledger(tables, few, waiting_bytes))
        for k in candidates:
            if k > n:
                raise VadgenError(
                    f"{k} candidates are more than the {n} rows of the bank",
                    f"ask for --candidates {n} or fewer",
                )
            pqnn = replace(own, search="pqnn", n_codes=n, n_candidates=k)
            ledgers.append(_ledger(tables, pqnn, waiting_bytes))
    return ledgers


def _ledger(tables: Any, options: Any, waiting_bytes: int) -> dict[str, Any]:
    from vadgen.detectors.patchcore import ledger

    count = ledger(tables.geometry, options)
    coded = not options.is_flat8
    return {
        "search": options.search,
        "rows": options.n_codes,
        "dims": tables.geometry.dims,
        "candidates": options.n_candidates if options.search == "pqnn" else None,
        "subspaces": options.subspaces(tables.geometry.dims) if coded else None,
        "centroids": options.centroids if coded else None,
        "bits": options.bits,
        "flash_bytes": count.flash_bytes,
        "flash_by": {
            "codes": count.code_bytes,
            "codebook": count.codeword_bytes,
            **({"rotation": count.rotation_bytes} if options.rotate else {}),
            **({"powers": count.power_bytes} if options.reweight else {}),
        },
        "ram_bytes": count.ram_bytes + waiting_bytes,
        "ram_by": {
            "tables": count.table_bytes,
            "heap": count.heap_bytes,
            "rows left": count.list_bytes,
            "patches": waiting_bytes,
            "cells": count.cell_bytes,
        },
        "float_bytes": count.float_bytes,
        "python_float_bytes": count.python_float_bytes,
        "python_bytes": count.python_bytes,
    }
