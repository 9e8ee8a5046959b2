"""What a data set is to the rest of vadgen: training normals, labelled test images, a digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vadgen.data.images import SUFFIXES
from vadgen.errors import VadgenError

GOOD = "good"


@dataclass(frozen=True)
class LabelledImage:
    """One labelled test image.

    Attributes:
        path: the picture.
        label: "good" or the defect's name.
        mask: its defect mask, or None (always None for good images).
    """

    path: Path
    label: str
    mask: Path | None

    @property
    def is_anomalous(self) -> bool:
        """Whether the label is a defect."""
        return self.label != GOOD


@dataclass(frozen=True)
class Dataset:
    """Pictures of one part.

    Attributes:
        name: name of its folder.
        root: its folder.
        train: pictures of good parts, sorted.
        test: labelled pictures, sorted by label and name; empty for a plain folder.
    """

    name: str
    root: Path
    train: tuple[Path, ...]
    test: tuple[LabelledImage, ...]

    def sha256(self) -> str:
        """Digest of everything in the set: see `digest`."""
        masks = [image.mask for image in self.test if image.mask is not None]
        return digest(self.root, [*self.train, *(image.path for image in self.test), *masks])


def digest(root: Path, paths: Iterable[Path]) -> str:
    """SHA-256 over names relative to `root` and contents, in the order of the names.

    It does not change when the folder moves, and does when a file is renamed or edited.

    Returns:
        64 hexadecimal digits.

    Raises:
        VadgenError: a file cannot be read.
    """
    total = hashlib.sha256()
    for name, path in sorted((path.relative_to(root).as_posix(), path) for path in paths):
        try:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256")
        except OSError as error:
            raise VadgenError(
                f"cannot read {path}: {error.strerror}", "check the file and its permissions"
            ) from error
        total.update(f"{name}\0{content.hexdigest()}\n".encode())
    return total.hexdigest()


def pictures(folder: Path) -> tuple[Path, ...]:
    """Sorted image files (by suffix) directly in `folder`; hidden files are ignored."""
    return tuple(path for path in visible(folder) if path.suffix.lower() in SUFFIXES)


def visible(folder: Path) -> list[Path]:
    """Sorted entries of `folder` whose names do not start with a dot.

    Raises:
        VadgenError: the folder cannot be read.
    """
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise VadgenError(
            f"cannot read folder {folder}: {error.strerror}", "check the path and its permissions"
        ) from error


def need_files(dataset: Dataset, source: str) -> None:
    """Check that the files that a split names are there.

    Args:
        dataset: pictures and masks by path.
        source: where the data set is had, for the error.

    Raises:
        VadgenError: no pictures to train on, or some files are missing; says how many, and one.
    """
    if not dataset.train:
        raise VadgenError(f"{dataset.name} has no pictures to train on", f"get {source}")
    masks = [item.mask for item in dataset.test if item.mask is not None]
    named = [*dataset.train, *(item.path for item in dataset.test), *masks]
    missing = [path for path in named if not path.is_file()]
    if missing:
        raise VadgenError(
            f"{dataset.name}: {len(missing):,} of {len(named):,} files are missing, such as "
            f"{missing[0]}",
            f"get {source}",
        )
