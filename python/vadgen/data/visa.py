"""VisA with its one-class split: `split_csv/1cls.csv` names each picture, its part and its mask.

Source: Zou et al., "SPot-the-Difference Self-supervised Pre-training for Anomaly Detection and
Segmentation", 2022.
"""

from __future__ import annotations

import csv
from pathlib import Path

from vadgen.data.dataset import GOOD, Dataset, LabelledImage, need_files
from vadgen.errors import VadgenError

CATEGORIES = (
    "candle",
    "capsules",
    "cashew",
    "chewinggum",
    "fryum",
    "macaroni1",
    "macaroni2",
    "pcb1",
    "pcb2",
    "pcb3",
    "pcb4",
    "pipe_fryum",
)
SOURCE = (
    "VisA_20220922.tar, linked from github.com/amazon-science/spot-diff, "
    "and beside its parts that repository's split_csv/"
)
SPLIT = Path("split_csv") / "1cls.csv"
_COLUMNS = {"object", "split", "label", "image", "mask"}


def detect(root: Path) -> bool:
    """Whether the folder holds VisA: its split file is there."""
    return (root / SPLIT).is_file()


def load(root: Path) -> tuple[Dataset, ...]:
    """Every part of VisA that the split file names.

    A picture's mask is the one in its own row, none for a normal picture.

    Raises:
        VadgenError: the split file is not VisA's, or names files that are not there.
    """
    train: dict[str, list[Path]] = {}
    test: dict[str, list[LabelledImage]] = {}
    with (root / SPLIT).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if not set(reader.fieldnames or ()) >= _COLUMNS:
            raise VadgenError(
                f"{root / SPLIT} has no columns {', '.join(sorted(_COLUMNS))}", f"get {SOURCE}"
            )
        for row in reader:
            part, image = row["object"], root / row["image"]
            is_good = row["label"] == "normal"
            if row["split"] == "train":
                train.setdefault(part, []).append(image)
                continue
            mask = root / row["mask"] if row["mask"] and not is_good else None
            label = GOOD if is_good else "anomaly"
            test.setdefault(part, []).append(LabelledImage(image, label, mask))
    sets = []
    for part in sorted(train):
        items = sorted(test.get(part, ()), key=lambda i: (i.label, i.path))
        found = Dataset(part, root, tuple(sorted(train[part])), tuple(items))
        need_files(found, SOURCE)
        sets.append(found)
    return tuple(sets)
