"""Parts of the study: contamination, the guard, rows as Parquet, means over seeds, memory."""

from __future__ import annotations

import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from drawn_pictures import SIDE, drawn
from parts import save, write_labelled

from vadgen.backbones import load_backbone
from vadgen.backbones.network import forward
from vadgen.benchmark import guard, store
from vadgen.benchmark.cell import FIGURES, Cell, Costs, Figures, Row, Suspects
from vadgen.benchmark.contamination import Draw, contaminate
from vadgen.benchmark.guard import rank
from vadgen.benchmark.memory import peak_memory
from vadgen.benchmark.methods.method import smooth_maps
from vadgen.benchmark.methods.patchcore import average
from vadgen.benchmark.tables import spread_of, summarize
from vadgen.data.folder import load_dataset
from vadgen.errors import Exit, VadgenError
from vadgen.pipeline import benchmark_features

CELL = Cell("mvtec", "nut", "tiny", "random", 64, "padim", 0.1, False, 0)


def row(seed: int, auroc: float | None = 0.9, **changes: object) -> Row:
    cell = replace(CELL, seed=seed, **changes)  # type: ignore[arg-type]
    return Row(
        cell,
        train_images=10,
        holdout_images=2,
        test_images=8,
        draw=Draw(1, 0.1, None),
        metrics=Figures(image_auroc=auroc, recall=0.5),
        costs=Costs(fit_seconds=1.5, model_bytes=100),
        suspects=Suspects(2, 1, 0.75, ("a.png", "b.png"), (2.0, 1.5), (True, False)),
        losses=(3.0, 2.0),
    )


def test_the_key_tells_cells_apart() -> None:
    changed = [replace(CELL, **{f.name: _other(getattr(CELL, f.name))}) for f in fields(Cell)]
    keys = {cell.key for cell in [CELL, *changed]}
    assert len(keys) == 1 + len(changed) and all(len(key) == 16 for key in keys)
    assert replace(CELL).key == CELL.key


def _other(value: object) -> object:
    return f"{value}x" if isinstance(value, str) else (not value) if value is False else value + 1  # type: ignore[operator]


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    rows = [row(0), row(1, None), Row(replace(CELL, seed=2), impossible="too few anomalies")]
    for each in rows:
        assert not store.is_finished(tmp_path, each.cell)
        store.write_row(tmp_path, each)
        assert store.is_finished(tmp_path, each.cell)
    assert list(store.read_rows(tmp_path)) == rows


def test_rows_are_one_parquet_data_set(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    store.write_row(tmp_path, row(0))
    store.write_row(tmp_path, Row(replace(CELL, seed=1), impossible="no"))
    table = pq.read_table(tmp_path / store.FOLDER)
    assert table.num_rows == 2
    assert sorted(table["image_auroc"].to_pylist(), key=str) == [0.9, None]
    assert {"key", "category", "seed", "fit_seconds", "draw_ratio", "losses"} <= set(
        table.column_names
    )


def test_damaged_and_missing_rows(tmp_path: Path) -> None:
    with pytest.raises(VadgenError, match="no finished row"):
        store.read_rows(tmp_path)
    store.write_row(tmp_path, row(0))
    (path,) = (tmp_path / store.FOLDER).iterdir()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(VadgenError, match="damaged"):
        store.read_rows(tmp_path)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(VadgenError, match="pyarrow") as caught:
        store.check_packages()
    assert caught.value.code == Exit.TOOL_MISSING and "vadgen[study]" in caught.value.hint


def test_summaries_are_means_over_seeds() -> None:
    rows = [row(0, 0.8), row(1, 0.9), row(2, 1.0), row(0, 0.5, detector="patchcore")]
    rows.append(Row(replace(CELL, contamination=0.9), impossible="too few"))
    padim, patchcore, none = sorted(summarize(rows), key=lambda s: -len(s.keys))[:3]
    assert padim.figures["image_auroc"].mean == pytest.approx(0.9)
    assert padim.figures["image_auroc"].deviation == pytest.approx(0.1)
    assert padim.figures["fit_seconds"].mean == 1.5 and "aupro" not in padim.figures
    assert padim.ratio == pytest.approx(0.1)
    assert (padim.pixels, padim.guard_auroc) == (None, 0.75)
    assert {patchcore.impossible, none.impossible} == {"", "too few"}
    told = padim.to_json()
    assert told["image_auroc"] == pytest.approx(0.9) and len(told["rows"]) == 3
    assert spread_of([0.5, None]) is None and spread_of([]) is None


def test_contamination_moves_anomalies(tmp_path: Path) -> None:
    dataset = load_dataset(write_labelled(tmp_path))
    found = contaminate(dataset, 0.2, 0, 40)  # 0.2 of 12 is 2.4
    assert found.draw.images == len(found.moved) == 2
    assert found.dataset.train == (*dataset.train, *(item.path for item in found.moved))
    assert set(found.dataset.test) == set(dataset.test) - set(found.moved)
    assert found.draw.ratio == pytest.approx(2 / 14)
    assert found.draw.pixels == pytest.approx(10 * 10 / 40**2)
    none = contaminate(dataset, 0.0, 0, 40)
    assert none.dataset == dataset and none.draw == Draw(0, 0.0, 0.0)


def test_contamination_is_drawn_from_the_seed_and_nested(tmp_path: Path) -> None:
    dataset = load_dataset(write_labelled(tmp_path))
    draws = {contaminate(dataset, 0.1, seed, 40).moved for seed in range(20)}
    assert 1 < len(draws) <= 4
    for seed in range(3):
        little, more = (contaminate(dataset, p, seed, 40).moved for p in (0.1, 0.2))
        assert little == more[: len(little)]
    with pytest.raises(VadgenError, match="takes 4 anomalies, the test set has 4"):
        contaminate(dataset, 0.3, 0, 40)
    save(tmp_path / "test" / "dent" / "0.png", np.zeros((40, 40, 3)))
    without_mask = contaminate(load_dataset(tmp_path), 0.3, 0, 40)
    kinds = {item.label for item in without_mask.moved}
    assert (without_mask.draw.pixels is None) == ("dent" in kinds)


def test_the_guard_scores_each_picture_against_the_others() -> None:
    """By hand: the third nearest other picture at the same place, cell by cell."""
    train = drawn(9, odd=1)
    ranking = rank(train, 0)
    patches = average(train.taps()[1])  # the deepest
    for i in (0, 4, 8):
        others = np.delete(patches, i, axis=0)
        distances = np.sort(np.sqrt(((others - patches[i]) ** 2).sum(axis=3)), axis=0)[2]
        expected = smooth_maps(distances[None], SIDE).max()
        assert ranking.scores[i] == pytest.approx(expected, rel=1e-4)


def test_the_guard_finds_what_does_not_belong() -> None:
    """Also when three pictures share their defect."""
    ranking = rank(drawn(40, odd=3), 0)
    assert set(ranking.order[:3].tolist()) == {37, 38, 39}
    assert ranking.suspicious[37:].all() and ranking.suspicious.sum() <= 6
    with pytest.raises(VadgenError, match="too few"):
        rank(drawn(4), 0)


def test_the_guard_looks_at_a_draw_of_many_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_REFERENCES", 16)
    ranking = rank(drawn(60, odd=2), 0)
    assert set(ranking.order[:2].tolist()) == {58, 59}


@pytest.mark.usefixtures("cache")
def test_workers_share_the_features_of_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches are made once, by whoever comes first, and read together in any order."""
    network, part = load_backbone("tiny"), load_dataset(write_labelled(tmp_path / "nut"))
    digest = part.sha256()
    whole = benchmark_features.find_store(network, part, digest, 64)
    whole.make()
    monkeypatch.setattr(benchmark_features, "BATCH", 8)
    monkeypatch.setenv("VADGEN_CACHE", str(tmp_path))
    split = benchmark_features.find_store(network, part, digest, 64)
    assert (len(whole.keys), len(split.keys)) == (1, 3) and len(whole.paths) == 20
    folders = [tmp_path / "study" / key[:32] for key in split.keys]
    split.make(1, 2)
    assert [folder.exists() for folder in folders] == [False, True, False]
    made = folders[1].stat().st_mtime_ns
    split.make()
    assert all(folder.exists() for folder in folders) and folders[1].stat().st_mtime_ns == made
    chosen = [whole.paths[i] for i in (17, 3, 8, 19, 0, 9, 3)]
    images = split.pictures(chosen).images()
    started = time.process_time()
    expected = forward(network, images)
    spent = (time.process_time() - started) / len(images)
    taps = split.pictures(chosen).taps()
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(taps, expected, strict=True))
    assert spent / 10 < split.seconds < spent * 10


def test_peak_memory_sees_what_was_freed() -> None:
    # glibc serves blocks of this size from its heap once one of them was freed, and keeps the
    # heap's pages while something lies above them: the second block finds the first one's.
    first = np.ones(30_000_000, np.uint8)
    del first
    held = np.ones(30_000_000, np.uint8)
    above = np.ones(1_000_000, np.uint8)
    del held
    with peak_memory() as peak:
        block = np.ones(30_000_000, np.uint8)
        del block
        found = peak()
    assert above.size == 1_000_000
    if found is None:
        pytest.skip("this system does not tell the peak of resident memory")
    assert 25_000_000 < found < 200_000_000
    assert SIDE % 8 == 0 and len(FIGURES) == 8
