"""MVTec layout: train/good, test/<defect>, ground_truth/<defect>/<stem>_mask.png."""

from __future__ import annotations

from pathlib import Path

from vadgen.data.dataset import GOOD, Dataset, LabelledImage, pictures, visible
from vadgen.errors import VadgenError

CATEGORIES = (
    "bottle",
    "cable",
    "capsule",
    "carpet",
    "grid",
    "hazelnut",
    "leather",
    "metal_nut",
    "pill",
    "screw",
    "tile",
    "toothbrush",
    "transistor",
    "wood",
    "zipper",
)
SOURCE = "mvtec_anomaly_detection, from mvtec.com/company/research/datasets/mvtec-ad"


def detect(root: Path) -> bool:
    """Whether the folder means to have this layout: it holds train/ or test/."""
    return (root / "train").is_dir() or (root / "test").is_dir()


def load(root: Path) -> Dataset:
    """List a data set in MVTec layout.

    The test set and the masks may be missing, in whole or for some images. A mask is
    `<stem>_mask` or `<stem>` with any image suffix.

    Raises:
        VadgenError: train/good is missing or holds no image, or test/ holds unlabelled images.
    """
    good = root / "train" / GOOD
    if not good.is_dir():
        raise VadgenError(
            f"{root} has no train/good",
            "put the pictures of good parts into train/good, or name a folder that holds only them",
        )
    train = pictures(good)
    if not train:
        raise VadgenError(
            f"{good} holds no images", "put PNG, JPEG, BMP or TIFF pictures of good parts there"
        )
    test = root / "test"
    if not test.is_dir():
        return Dataset(root.name, root, train, ())
    if stray := pictures(test):
        raise VadgenError(
            f"{len(stray)} images lie directly in {test} ({stray[0].name}, ...)",
            "move them into test/good or test/<name of the defect>",
        )
    images = [
        image
        for folder in visible(test)
        if folder.is_dir()
        for image in _labelled(folder, root / "ground_truth" / folder.name)
    ]
    return Dataset(root.name, root, train, tuple(images))


def _labelled(folder: Path, truth: Path) -> list[LabelledImage]:
    label = folder.name
    by_stem: dict[str, Path] = {}
    if label != GOOD and truth.is_dir():
        by_stem = {mask.stem: mask for mask in pictures(truth)}
    return [
        LabelledImage(path, label, by_stem.get(f"{path.stem}_mask") or by_stem.get(path.stem))
        for path in pictures(folder)
    ]
