"""Folders: which layouts are understood, what is said of the others, and the digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from vadgen.data.dataset import Dataset, digest
from vadgen.data.folder import load_dataset
from vadgen.errors import VadgenError


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def names(dataset: Dataset) -> list[str]:
    return [path.name for path in dataset.train]


def test_a_plain_folder(tmp_path: Path) -> None:
    touch(tmp_path / "nuts", "b.png", "a.JPG", "c.tiff", "d.bmp", ".hidden.png", "notes.txt")
    touch(tmp_path / "nuts", "bad/e.png")
    dataset = load_dataset(tmp_path / "nuts")
    assert dataset.name == "nuts"
    assert names(dataset) == ["a.JPG", "b.png", "c.tiff", "d.bmp"]
    assert dataset.test == ()


def test_mvtec_layout(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "train/good/1.png",
        "train/good/0.png",
        "test/good/0.png",
        "test/crack/0.png",
        "test/crack/1.jpg",
        "test/crack/2.png",
        "test/.DS_Store",
        "ground_truth/crack/0_mask.png",
        "ground_truth/crack/1.bmp",
        "ground_truth/good/0_mask.png",
    )
    dataset = load_dataset(tmp_path)
    assert names(dataset) == ["0.png", "1.png"]
    assert [
        (image.label, image.path.name, image.mask and image.mask.name, image.is_anomalous)
        for image in dataset.test
    ] == [
        ("crack", "0.png", "0_mask.png", True),
        ("crack", "1.jpg", "1.bmp", True),
        ("crack", "2.png", None, True),
        ("good", "0.png", None, False),
    ]


def test_mvtec_layout_without_a_test_set(tmp_path: Path) -> None:
    touch(tmp_path, "train/good/0.png")
    assert load_dataset(tmp_path).test == ()


def refused(root: Path) -> VadgenError:
    with pytest.raises(VadgenError) as caught:
        load_dataset(root)
    assert "\n" not in caught.value.message + caught.value.hint
    return caught.value


def test_missing_empty_and_not_a_folder(tmp_path: Path) -> None:
    assert "no such folder" in refused(tmp_path / "none").message
    touch(tmp_path, "file.png")
    assert "not a folder" in refused(tmp_path / "file.png").message
    (tmp_path / "empty").mkdir()
    assert "is empty" in refused(tmp_path / "empty").message


def test_no_images(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt", "b.webp")
    error = refused(tmp_path)
    assert "holds no images" in error.message
    assert "PNG" in error.hint


def test_a_folder_of_data_sets_names_one(tmp_path: Path) -> None:
    touch(tmp_path, "screw/train/good/0.png", "bolt/test/good/0.png", "text/readme.txt")
    hint = refused(tmp_path).hint
    assert str(tmp_path / "bolt") in hint
    assert "1 others" in hint


def test_good_beside_bad_names_good(tmp_path: Path) -> None:
    touch(tmp_path, "bad/0.png", "good/0.png")
    assert str(tmp_path / "good") in refused(tmp_path).hint


def test_training_images_are_missing(tmp_path: Path) -> None:
    touch(tmp_path, "test/good/0.png")
    assert "no train/good" in refused(tmp_path).message
    (tmp_path / "train/good").mkdir(parents=True)
    assert "good holds no images" in refused(tmp_path).message


def test_unlabelled_test_images_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "train/good/0.png", "test/0.png")
    assert "directly in" in refused(tmp_path).message


def test_digest_follows_names_and_contents_only(tmp_path: Path) -> None:
    for root in ("a", "b"):
        touch(tmp_path / root, "train/good/0.png", "test/hole/0.png", "ground_truth/hole/0.png")
    first = load_dataset(tmp_path / "a").sha256()
    assert len(first) == 64
    assert load_dataset(tmp_path / "b").sha256() == first
    seen = {first}
    (tmp_path / "b/ground_truth/hole/0.png").write_bytes(b"edited")
    seen.add(load_dataset(tmp_path / "b").sha256())
    (tmp_path / "b/train/good/0.png").rename(tmp_path / "b/train/good/1.png")
    seen.add(load_dataset(tmp_path / "b").sha256())
    touch(tmp_path / "b", "train/good/2.png")
    seen.add(load_dataset(tmp_path / "b").sha256())
    assert len(seen) == 4


def test_digest_does_not_depend_on_the_order(tmp_path: Path) -> None:
    touch(tmp_path, "0.png", "1.png")
    paths = [tmp_path / "0.png", tmp_path / "1.png"]
    assert digest(tmp_path, paths) == digest(tmp_path, reversed(paths))
    with pytest.raises(VadgenError, match="2.png"):
        digest(tmp_path, [tmp_path / "2.png"])
