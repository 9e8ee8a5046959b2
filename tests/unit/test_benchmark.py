"""Sweeps from end to end, with a tiny network of random weights and parts painted here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from parts import write_labelled

from vadgen.benchmark.cell import Cell, Row
from vadgen.benchmark.store import FOLDER, read_rows
from vadgen.errors import Exit, VadgenError
from vadgen.pipeline.benchmark import Sweep, benchmark, open_row
from vadgen.pipeline.benchmark_cell import effort_of
from vadgen.progress import SilentProgress

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mvtec")
    for name in ("nut", "bolt"):
        write_labelled(folder / name)
    return folder


def sweep(root: Path, out: Path, **changes: Any) -> Sweep:
    given = Sweep(
        roots=(root,),
        datasets=("mvtec",),
        categories=(),
        views=("C1",),
        backbones=("tiny",),
        detectors=("padim", "padim_diagonal"),
        contamination=(0.0,),
        seeds=(0,),
        input=64,
        guard=False,
        weights=(),
        board="host",
        out=out,
        workers=1,
        dask=None,
    )
    return replace(given, **changes)


def figures(row: Row) -> tuple[object, ...]:
    """All of a row but its times and memory."""
    return (row.cell, row.draw, row.metrics, row.suspects, row.losses, row.costs.model_bytes)


def test_detectors_that_are_trained(root: Path, tmp_path: Path) -> None:
    given = {"categories": ("nut",), "detectors": ("stfpm@2", "paste@1", "cfa@2")}
    benchmark(sweep(root, tmp_path / "t", **given), SilentProgress())
    rows = {row.cell.detector: row for row in read_rows(tmp_path / "t")}
    assert {name: len(row.losses) for name, row in rows.items()} == {
        "stfpm@2": 2,
        "paste@1": 1,
        "cfa@2": 2,
    }
    assert all(row.metrics is not None and row.costs.infer_seconds for row in rows.values())
    with pytest.raises(VadgenError, match="padim is not trained"):
        benchmark(sweep(root, tmp_path / "u", detectors=("padim@2",)), SilentProgress())


def test_a_sweep_and_its_rows(root: Path, tmp_path: Path) -> None:
    result = benchmark(sweep(root, tmp_path / "a"), SilentProgress())
    assert (result.cells, result.found, result.ran, result.impossible) == (4, 0, 4, ())
    rows = read_rows(tmp_path / "a")
    assert {(r.cell.category, r.cell.detector) for r in rows} == {
        (part, method) for part in ("bolt", "nut") for method in ("padim", "padim_diagonal")
    }
    for row in rows:
        assert row.metrics is not None and row.metrics.image_auroc is not None
        assert row.metrics.aupro is not None and row.metrics.recall is not None
        assert row.costs.fit_seconds and row.costs.model_bytes and row.costs.backbone_seconds
        assert row.train_images + row.holdout_images == 12 and row.test_images == 8
    assert len(result.rows) == 4 and result.rows[0]["image_auroc"] is not None


def test_the_same_seed_gives_the_same_figures(root: Path, tmp_path: Path) -> None:
    options = {"contamination": (0.1,), "guard": True, "detectors": ("padim", "patchcore")}
    for name in "ab":
        benchmark(sweep(root, tmp_path / name, **options), SilentProgress())
    first, again = (
        {row.cell.key: figures(row) for row in read_rows(tmp_path / name)} for name in "ab"
    )
    assert first == again and len(first) == 8


def test_finished_cells_are_not_run_again(root: Path, tmp_path: Path) -> None:
    benchmark(sweep(root, tmp_path), SilentProgress())
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / FOLDER).iterdir()}
    more = benchmark(sweep(root, tmp_path, seeds=(0, 1)), SilentProgress())
    assert (more.cells, more.found, more.ran) == (8, 4, 4)
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / FOLDER).iterdir()}
    assert len(after) == 8 and times.items() <= after.items()


def test_impossible_cells_are_rows_that_say_why(root: Path, tmp_path: Path) -> None:
    result = benchmark(
        sweep(root, tmp_path, contamination=(0.1, 0.5), categories=("nut",)), SilentProgress()
    )
    assert result.ran == 4 and len(result.impossible) == 2
    assert "takes 6 anomalies" in result.impossible[0]
    again = benchmark(sweep(root, tmp_path, contamination=(0.5,)), SilentProgress())
    assert again.found == 2


def test_contamination_and_guard_are_told(root: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"contamination": (0.2,), "guard": True, "categories": ("nut",)}
    benchmark(sweep(root, tmp_path, detectors=("padim",), **options), SilentProgress())
    plain, guarded = read_rows(tmp_path)
    assert plain.draw == guarded.draw and plain.draw is not None and plain.draw.images == 2
    assert plain.train_images + plain.holdout_images == 14
    assert guarded.suspects.auroc is not None and len(guarded.suspects.paths) == 12
    assert guarded.train_images + guarded.holdout_images == 14 - guarded.suspects.dropped
    assert plain.test_images == guarded.test_images == 6


def test_integer_detectors_and_building_a_row(root: Path, tmp_path: Path) -> None:
    from vadgen.pipeline import build

    out = tmp_path / "study"
    options: dict[str, Any] = {"detectors": ("padim_int8", "padim_diagonal")}
    benchmark(sweep(root, out, categories=("nut",), **options), SilentProgress())
    by_name = {row.cell.detector: row for row in read_rows(out)}
    integer = by_name["padim_int8"]
    assert integer.cell.board == "host" and integer.costs.flash_bytes is not None
    assert integer.costs.ram_bytes and integer.costs.macs
    for row in by_name.values():
        recipe, training = open_row(f"{out}:{row.cell.key[:8]}", {"board": "host"})
        assert (recipe.detector, recipe.backbone, recipe.input) == ("padim", "tiny", 64)
    built = build(recipe, tmp_path / "built", SilentProgress(), training)
    assert integer.metrics is not None and built.metrics is not None
    assert built.metrics["int8"]["image_auroc"] == integer.metrics.image_auroc
    assert built.metrics["int8"]["pixel_auroc"] == integer.metrics.pixel_auroc
    own, no_training = open_row(f"{out}:{integer.cell.key}", {"data": str(root / "bolt")})
    assert own.data == root / "bolt" and no_training is None and own.board == "host"


@pytest.mark.parametrize("name", ["paste", "cfa"])
def test_a_trained_row_is_built(name: str, root: Path, tmp_path: Path) -> None:
    """A float row and an integer row of as many epochs are the same build."""
    from vadgen.pipeline import build

    given = {"categories": ("nut",), "detectors": (f"{name}@2", f"{name}_int8@2"), "input": 32}
    benchmark(sweep(root, tmp_path / "s", **given), SilentProgress())
    rows = {row.cell.detector: row for row in read_rows(tmp_path / "s")}
    plain, integer = (rows[detector] for detector in given["detectors"])
    assert plain.metrics is not None and integer.metrics is not None
    assert (plain.cell.board, integer.cell.board) == ("", "host")
    assert integer.costs.infer_seconds and integer.costs.backbone_seconds
    # A student is trained but once; CFA is trained for each fold, too, and on all pictures.
    found = integer.train_images, integer.holdout_images
    held_out = plain.train_images, plain.holdout_images
    assert found == (held_out if name == "paste" else (sum(held_out), sum(held_out)))
    spec = f"{tmp_path / 's'}:{plain.cell.key}"
    recipe, training = open_row(spec, {"board": "host"})
    assert (recipe.detector, recipe.student.epochs) == (name, 2)
    other, _ = open_row(spec, {"board": "host", "detector": "padim"})
    assert (other.detector, other.student.epochs) == ("padim", None)
    built = build(recipe, tmp_path / "built", SilentProgress(), training)
    assert built.metrics is not None
    assert built.metrics["int8"]["image_auroc"] == integer.metrics.image_auroc
    assert built.metrics["int8"]["pixel_auroc"] == integer.metrics.pixel_auroc


def test_rows_that_cannot_be_built(root: Path, tmp_path: Path) -> None:
    benchmark(sweep(root, tmp_path, contamination=(0.0, 0.5)), SilentProgress())
    (bad, *_) = [row for row in read_rows(tmp_path) if row.impossible]
    for spec, why in (
        ("nowhere", "names no row"),
        (f"{tmp_path}:zzz", "0 rows"),
        (f"{tmp_path}:{bad.cell.key}", "could not be run"),
        (f"{tmp_path / 'empty'}:ab", "no finished row"),
    ):
        with pytest.raises(VadgenError, match=why):
            open_row(spec, {})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"datasets": ("mvtek",)}, "unknown data set"),
        ({"categories": ("bottle",)}, "no data set has the part 'bottle'"),
        ({"backbones": ("tinny",)}, "unknown backbone"),
        ({"backbones": ("tiny@wide",)}, "no number"),
        ({"detectors": ("padm",)}, "unknown detector"),
        ({"detectors": ("padim_int8",), "board": "qemu"}, "board"),
        ({"roots": ()}, "not in no folder given"),
    ],
)
def test_wrong_names_stop_a_sweep_before_it_begins(
    root: Path, tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(VadgenError, match=why):
        benchmark(sweep(root, tmp_path, **changes), SilentProgress())
    assert not (tmp_path / FOLDER).exists()


def test_a_killed_sweep_goes_on_where_it_was(root: Path, tmp_path: Path) -> None:
    """kill -9 in the middle: what is finished stays, whole; the same command runs the rest.

    No worker stays behind.
    """
    out = tmp_path / "out"
    names = ["--data", str(root), "--backbones", "tiny", "--detectors", "padim_diagonal"]
    names += ["--categories", "bolt", "--workers", "2"]
    command = [sys.executable, "-m", "vadgen", "benchmark", *names, "--input", "64", "--out"]
    command += [str(out), "--seeds", ",".join(map(str, range(200)))]
    silent: Any = dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
    process = subprocess.Popen(command, start_new_session=True, **silent)
    try:
        deadline = time.monotonic() + 60
        while len(list(out.glob(f"{FOLDER}/*.parquet"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    deadline = time.monotonic() + 60
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.05)
    kept = {row.cell.seed for row in read_rows(out)}
    assert 3 <= len(kept) < 200
    seeds = tuple(sorted(kept)) + (200,)
    more = sweep(root, out, detectors=("padim_diagonal",), seeds=seeds, categories=("bolt",))
    result = benchmark(more, SilentProgress())
    assert (result.found, result.ran) == (len(kept), 1)


def test_workers_give_the_same_rows(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From features that they made themselves, in the cache of the moment."""
    for name, workers in (("one", 1), ("two", 2)):
        monkeypatch.setenv("VADGEN_CACHE", str(tmp_path / f"cache_{name}"))
        benchmark(sweep(root, tmp_path / name, workers=workers), SilentProgress())
        assert len(list((tmp_path / f"cache_{name}" / "study").iterdir())) == 2
    one, two = (
        {row.cell.key: figures(row) for row in read_rows(tmp_path / name)}
        for name in ("one", "two")
    )
    assert one == two


def test_longer_cells_begin_first() -> None:
    names = ("padim_diagonal", "padim", "patchcore", "padim_int8", "cfa", "stfpm@40", "paste")
    cells = [Cell("mvtec", "nut", "tiny", "random", 64, name, 0.0, False, 0) for name in names]
    assert sorted(reversed(cells), key=effort_of) == cells


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A Dask cluster of two processes on this computer."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as made:
        yield made


def test_a_dask_cluster_writes_the_same_rows(root: Path, tmp_path: Path, cluster: Any) -> None:
    """Also when a worker is lost in the middle: the others run its cells."""
    seeds, killed = tuple(range(6)), list[int]()
    options: dict[str, Any] = {"seeds": seeds, "detectors": ("padim_diagonal",)}
    victim = next(iter(cluster.workers.values()))
    out = tmp_path / "many"

    def kill() -> None:
        deadline = time.monotonic() + 60
        while not list(out.glob(f"{FOLDER}/*.parquet")) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(victim.pid, signal.SIGKILL)
        killed.append(victim.pid)

    killer = threading.Thread(target=kill)
    killer.start()
    result = benchmark(
        sweep(root, out, dask=cluster.scheduler_address, **options), SilentProgress()
    )
    killer.join()
    assert killed and (result.cells, result.ran) == (12, 12)
    benchmark(sweep(root, tmp_path / "one", **options), SilentProgress())
    one, many = (
        {row.cell.key: figures(row) for row in read_rows(folder)}
        for folder in (tmp_path / "one", out)
    )
    assert one == many


def test_no_scheduler_and_no_package(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["vadgen.pipeline.benchmark"], "_CONNECT_SECONDS", 0.5)
    nobody = sweep(root, tmp_path, dask="tcp://127.0.0.1:9")
    with pytest.raises(VadgenError, match="no Dask scheduler answers"):
        benchmark(nobody, SilentProgress())
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(VadgenError, match="'distributed'") as caught:
        benchmark(nobody, SilentProgress())
    assert caught.value.code == Exit.TOOL_MISSING
