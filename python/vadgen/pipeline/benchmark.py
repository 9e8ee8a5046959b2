"""`benchmark`: a sweep of cells, run by processes of this computer or a Dask cluster, resumable."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from vadgen.benchmark.cell import Cell
from vadgen.benchmark.store import check_packages, is_finished, read_rows
from vadgen.benchmark.tables import summarize
from vadgen.errors import Exit, VadgenError
from vadgen.pipeline.benchmark_cell import (
    Study,
    Training,
    check_cell,
    effort_of,
    needs_features,
    open_parts,
    prepare,
    recipe_of,
    run_cell,
    shared_of,
    training_of,
    weights_name,
)
from vadgen.pipeline.manifest import write_json
from vadgen.pipeline.staging import shown
from vadgen.progress import Progress
from vadgen.recipe import Recipe

_STUDY = "study.json"
_CONNECT_SECONDS = 10.0
_FORKING = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Sweep:
    """What to combine, as the command line gives it.

    Attributes:
        roots: folders that hold the data sets.
        datasets: names of data sets.
        categories: parts to take; empty for all.
        views: cameras of Real-IAD.
        backbones: names, or name@width.
        detectors: names of methods.
        contamination: values of p.
        seeds: seeds.
        input: side of the pictures in pixels.
        guard: also run each cell with suspicious training pictures dropped.
        weights: file, or `random`, by backbone; the key "" is for all others.
        board: integer detectors are measured for it.
        out: folder of the study.
        workers: processes of this computer.
        dask: address of a cluster's scheduler; None for this computer.
    """

    roots: tuple[Path, ...]
    datasets: tuple[str, ...]
    categories: tuple[str, ...]
    views: tuple[str, ...]
    backbones: tuple[str, ...]
    detectors: tuple[str, ...]
    contamination: tuple[float, ...]
    seeds: tuple[int, ...]
    input: int
    guard: bool
    weights: tuple[tuple[str, Path], ...]
    board: str
    out: Path
    workers: int
    dask: str | None


@dataclass(frozen=True)
class BenchmarkResult:
    """What `benchmark` prints."""

    out: str
    cells: int
    found: int
    ran: int
    impossible: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As `benchmark --json` prints it."""
        return dict(vars(self))


def benchmark(sweep: Sweep, progress: Progress) -> BenchmarkResult:
    """Runs the cells that have no row yet; each row is kept as soon as it is there.

    Raises:
        VadgenError: a data set, backbone or detector that is not there, or a package.
    """
    started = time.monotonic()
    check_packages()
    if sweep.dask is None and sweep.workers > 1:
        _warm_up()
    progress.step("Find the data sets")
    study = _open_study(sweep)
    cells = plan_cells(sweep, study)
    for cell in {replace(c, category="", contamination=0.0, seed=0): c for c in cells}.values():
        check_cell(study, cell)
    todo = [cell for cell in cells if not is_finished(sweep.out, cell)]
    found = len(cells) - len(todo)
    progress.step(f"Run {len(todo)} of {len(cells)} cells" + f"; {found} were there" * bool(found))
    for title in progress.track(_finished(sweep, study, todo), len(todo), "cells"):
        del title
    mine = {cell.key for cell in cells}
    rows = [row for row in read_rows(sweep.out) if row.cell.key in mine]
    return BenchmarkResult(
        shown(sweep.out),
        len(cells),
        found,
        len(todo),
        tuple(f"{row.cell.title}: {row.impossible}" for row in rows if row.impossible),
        tuple(summary.to_json() for summary in summarize(rows)),
        (),
        round(time.monotonic() - started, 1),
    )


def plan_cells(sweep: Sweep, study: Study) -> tuple[Cell, ...]:
    """Every combination, those that share features side by side.

    Raises:
        VadgenError: unknown names, or no part is left.
    """
    from vadgen.benchmark.integer import integer_of

    cells = []
    for dataset in sweep.datasets:
        parts = open_parts(study, dataset)
        wanted = [name for name in parts if not sweep.categories or name in sweep.categories]
        for category in wanted:
            for backbone in sweep.backbones:
                weights = weights_name(study, backbone)
                cells += [
                    Cell(
                        dataset,
                        category,
                        backbone,
                        weights,
                        sweep.input,
                        detector,
                        p,
                        guard,
                        seed,
                        "" if integer_of(detector) is None else sweep.board,
                    )
                    for detector in sweep.detectors
                    for p in sweep.contamination
                    for guard in ((False, True) if sweep.guard else (False,))
                    for seed in sweep.seeds
                ]
    if unknown := set(sweep.categories) - {cell.category for cell in cells}:
        known = sorted({name for d in sweep.datasets for name in open_parts(study, d)})
        raise VadgenError(
            f"no data set has the part '{min(unknown)}'", f"there are {', '.join(known)}"
        )
    return tuple(cells)


def load_study(out: Path) -> Study:
    """The settings of a study's folder.

    Raises:
        VadgenError: there is none, or it is damaged.
    """
    try:
        saved = json.loads((out / _STUDY).read_text(encoding="utf-8"))
        return Study(
            tuple(Path(root) for root in saved["roots"]),
            tuple(saved["views"]),
            tuple((name, Path(file)) for name, file in saved["weights"].items()),
            out,
        )
    except FileNotFoundError:
        raise VadgenError(
            f"{out} holds no study", "`vadgen benchmark --out DIR` makes one"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise VadgenError(
            f"{out / _STUDY} is damaged: {error}", "run the benchmark again"
        ) from None


def open_row(spec: str, flags: Mapping[str, str | bool]) -> tuple[Recipe, Training | None]:
    """What builds the model of a row.

    Args:
        spec: DIR:ROW, a study's folder and the first digits of a row's key.
        flags: recipe keys given beside it, which go before the row's own; see `read_recipe`.

    Returns:
        The recipe, and the row's data set unless the flags name another.

    Raises:
        VadgenError: no such row, several, or it cannot be built.
    """
    folder, colon, prefix = spec.rpartition(":")
    if not colon or not prefix:
        raise VadgenError(f"'{spec}' names no row", "write --from-row DIR:ROW")
    out = Path(folder)
    found = [row for row in read_rows(out) if row.cell.key.startswith(prefix)]
    if len(found) != 1:
        raise VadgenError(
            f"{len(found)} rows of {folder} begin with '{prefix}'",
            f"there are {', '.join(row.cell.key[:8] for row in read_rows(out)[:6])}, ...",
        )
    row = found[0]
    if row.impossible:
        raise VadgenError(f"row {prefix} could not be run: {row.impossible}", "choose another row")
    study = load_study(out)
    recipe = recipe_of(study, row.cell, flags)
    if recipe.data is not None:
        return recipe, None
    training = training_of(study, row.cell)
    return replace(recipe, data=training.dataset.root), training


def _open_study(sweep: Sweep) -> Study:
    """The settings that a worker needs; what an earlier sweep into the same folder had is kept."""
    roots, weights = [root.resolve() for root in sweep.roots], dict(sweep.weights)
    if (sweep.out / _STUDY).is_file():
        earlier = load_study(sweep.out)
        roots += [root for root in earlier.roots if root not in roots]
        weights = dict(earlier.weights) | weights
    absolute = {name: file.resolve() if file.exists() else file for name, file in weights.items()}
    out = sweep.out.resolve()
    try:
        out.mkdir(parents=True, exist_ok=True)
        saved = {
            "roots": [str(root) for root in roots],
            "views": list(sweep.views),
            "weights": {name: str(file) for name, file in absolute.items()},
        }
        aside = out / f".{_STUDY}.partial"
        write_json(aside, saved)
        aside.replace(out / _STUDY)
    except OSError as error:
        raise VadgenError(
            f"{out} cannot be written: {error.strerror}", "name another folder with --out"
        ) from None
    return Study(tuple(roots), sweep.views, tuple(sorted(absolute.items())), out)


def _finished(sweep: Sweep, study: Study, todo: Sequence[Cell]) -> Iterator[str]:
    """Runs the cells and gives the title of each as it is done."""
    if sweep.workers == 1 and sweep.dask is None:
        for cell in todo:
            run_cell(study, cell)
            yield cell.title
        return
    with _executor(sweep) as (pool, workers):
        yield from _spread(pool, workers, study, todo)


def _spread(pool: Executor, workers: int, study: Study, todo: Iterable[Cell]) -> Iterator[str]:
    """Features first, once for all cells that share them, every worker a part of the pictures.

    Cells run as soon as their features are there, those that take long before the others.
    """
    groups: dict[Cell, list[Cell]] = {}
    for cell in sorted(todo, key=effort_of, reverse=True):
        groups.setdefault(shared_of(cell), []).append(cell)
    running: dict[Future[Any], Cell] = {
        pool.submit(run_cell, study, cell): cell
        for shared in groups
        if not needs_features(shared)
        for cell in groups[shared]
    }
    preparing: dict[Future[Any], Cell] = {
        pool.submit(prepare, study, shared, first, workers): shared
        for shared in groups
        if needs_features(shared)
        for first in range(workers)
    }
    while preparing or running:
        done, _ = wait([*preparing, *running], return_when=FIRST_COMPLETED)
        for future in done:
            try:
                future.result()
            except BrokenProcessPool:
                raise VadgenError(
                    "a worker process ended without a word; it may have run out of memory",
                    "finished rows are kept: run the same command again, with fewer --workers",
                ) from None
            if future in preparing:
                shared = preparing.pop(future)
                if shared not in preparing.values():
                    for cell in groups[shared]:
                        running[pool.submit(run_cell, study, cell)] = cell
            else:
                yield running.pop(future).title


def _warm_up() -> None:
    """Starts the server that workers are forked from: it loads meanwhile what they need."""
    _FORKING.set_forkserver_preload(["vadgen.pipeline.benchmark_cell", "torch", "scipy.ndimage"])
    forkserver.ensure_running()


def _begin(environment: Mapping[str, str]) -> None:
    """A worker has the environment of its sweep, not of the server's start, and ends with it."""
    os.environ.clear()
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _executor(sweep: Sweep) -> Iterator[tuple[Executor, int]]:
    """Processes of this computer, or of a Dask cluster, and how many work at once.

    Unstarted work ends with the block.
    """
    if sweep.dask is None:
        given = (dict(os.environ),)
        pool = ProcessPoolExecutor(sweep.workers, _FORKING, initializer=_begin, initargs=given)
        try:
            yield pool, sweep.workers
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError:
        raise VadgenError(
            "--dask needs the Python package 'distributed', which is not installed",
            "pip install 'vadgen[study]' brings it; in a checkout: make setup",
            Exit.TOOL_MISSING,
        ) from None
    try:
        client = distributed.Client(sweep.dask, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise VadgenError(
            f"no Dask scheduler answers at {sweep.dask} ({error})",
            "start one with `dask scheduler`, and workers with `dask worker tcp://...`",
        ) from None
    try:
        threads = sum(client.nthreads().values())
        yield client.get_executor(pure=False, retries=3), max(1, threads)
    finally:
        client.close()
