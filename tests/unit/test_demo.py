"""The demo set: same seed, same bytes; training and test look at parts that do not touch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from vadgen.data import demo
from vadgen.data.dataset import Dataset, digest
from vadgen.data.demo import write_demo
from vadgen.data.folder import load_dataset
from vadgen.data.images import image_size, load_mask, load_rgb
from vadgen.data.painted import KINDS
from vadgen.errors import VadgenError


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    out = tmp_path_factory.mktemp("data") / "demo"
    write_demo(out, 0)
    return load_dataset(out)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "N_TRAIN", 3)
    monkeypatch.setattr(demo, "N_TEST_GOOD", 2)
    monkeypatch.setattr(demo, "N_EACH_DEFECT", 2)


def test_layout(dataset: Dataset) -> None:
    assert len(dataset.train) == 100
    assert Counter(image.label for image in dataset.test) == {"good": 30, **dict.fromkeys(KINDS, 8)}
    assert all((image.mask is not None) == image.is_anomalous for image in dataset.test)
    assert {image_size(path) for path in dataset.train} == {(256, 256)}


def test_masks_mark_small_defects(dataset: Dataset) -> None:
    for image in dataset.test:
        if image.mask is not None:
            share = load_mask(image.mask, image_size(image.path), 256).mean()
            assert 0.0005 < share < 0.1


def test_pictures_differ_and_have_no_empty_corners(dataset: Dataset) -> None:
    pictures = np.stack([load_rgb(path, 256) for path in dataset.train])
    assert len(np.unique(pictures[:, ::16, ::16].reshape(len(pictures), -1), axis=0)) == 100
    corners = pictures[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.min() > 40
    assert 90 < pictures.mean() < 170


def test_a_seed_gives_the_same_bytes(tmp_path: Path, few: None) -> None:
    digests = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        write_demo(tmp_path / name, seed)
        files = [path for path in (tmp_path / name).rglob("*") if path.is_file()]
        digests.append(digest(tmp_path / name, files))
    assert digests[0] == digests[1] != digests[2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_training_and_test_regions_do_not_touch() -> None:
    def seen(courses: tuple[int, ...]) -> tuple[float, float]:
        rng = np.random.default_rng(0)
        corners = np.array([[0, 0, 1], [256, 0, 1], [0, 256, 1], [256, 256, 1]]).T
        across = [
            (demo._pose(rng, stop + rng.normal(0, 0.8, 2)) @ corners)[0]
            for stop in demo._stops(courses)
            for _ in range(50)
        ]
        return float(np.min(across)), float(np.max(across))

    assert seen(demo._TEST_COURSES)[1] + 5 < seen(demo._TRAIN_COURSES)[0]


def test_a_folder_in_use_is_refused(tmp_path: Path, few: None) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(VadgenError, match="not an empty folder"):
        write_demo(tmp_path, 0)
    with pytest.raises(VadgenError, match="not an empty folder"):
        write_demo(tmp_path / "mine.txt", 0)
    with pytest.raises(VadgenError, match="negative"):
        write_demo(tmp_path / "new", -1)
    (tmp_path / "empty").mkdir()
    write_demo(tmp_path / "empty", 0)
    assert len(load_dataset(tmp_path / "empty").train) == 3


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_is_left_of_what_failed(
    tmp_path: Path, few: None, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    saves = []

    def save(path: Path, pixels: object) -> None:
        saves.append(path)
        path.write_bytes(b"")
        if len(saves) == 4:
            raise error

    monkeypatch.setattr(demo, "_save", save)
    expected = VadgenError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_demo(tmp_path / "demo", 0)
    assert list(tmp_path.iterdir()) == []
