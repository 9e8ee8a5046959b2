"""Real-IAD: a JSON file a part says which pictures are for training; five cameras see each part.

Source: Wang et al., "Real-IAD: A Real-World Multi-View Dataset for Benchmarking Versatile
Industrial Anomaly Detection", 2024.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path

from vadgen.data.dataset import GOOD, Dataset, LabelledImage, need_files
from vadgen.errors import VadgenError

CATEGORIES = (
    "audiojack",
    "bottle_cap",
    "button_battery",
    "end_cap",
    "eraser",
    "fire_hood",
    "mint",
    "mounts",
    "pcb",
    "phone_battery",
    "plastic_nut",
    "plastic_plug",
    "porcelain_doll",
    "regulator",
    "rolled_strip_base",
    "sim_card_set",
    "switch",
    "tape",
    "terminalblock",
    "toothbrush",
    "toy",
    "toy_brick",
    "transistor1",
    "u_block",
    "usb",
    "usb_adaptor",
    "vcpill",
    "wooden_beads",
    "woodstick",
    "zipper",
)
SOURCE = "realiad_1024 (or _512, _256) and realiad_jsons, from realiad4ad.github.io/Real-IAD"
VIEWS = ("C1", "C2", "C3", "C4", "C5")
_PICTURES = ("realiad_1024", "realiad_512", "realiad_256", "realiad_raw")
_VIEW = re.compile(r"_(C\d)_")


def detect(root: Path) -> bool:
    """Whether the folder holds Real-IAD: pictures or JSON splits under their usual names."""
    return (root / "realiad_jsons").is_dir() or any((root / name).is_dir() for name in _PICTURES)


def load(root: Path, views: Collection[str] = VIEWS) -> tuple[Dataset, ...]:
    """Every part that has a JSON split, with the pictures of the given cameras.

    Args:
        root: folder of `realiad_<size>` (the largest there is) and `realiad_jsons`.
        views: cameras, of `VIEWS`.

    Raises:
        VadgenError: pictures or splits are missing, or a split is damaged.
    """
    pictures = next((root / name for name in _PICTURES if (root / name).is_dir()), None)
    if pictures is None:
        raise VadgenError(f"{root} has no folder {' or '.join(_PICTURES[:3])}", f"get {SOURCE}")
    splits = root / "realiad_jsons"
    inner = splits / "realiad_jsons"
    files = sorted((inner if inner.is_dir() else splits).glob("*.json"))
    if not files:
        raise VadgenError(f"{splits} holds no JSON splits", f"get {SOURCE}")
    return tuple(_part(file, pictures / file.stem, views) for file in files)


def _part(file: Path, folder: Path, views: Collection[str]) -> Dataset:
    try:
        split = json.loads(file.read_text(encoding="utf-8"))
        good = split["meta"]["normal_class"]
        train = [folder / row["image_path"] for row in split["train"]]
        test = [
            LabelledImage(
                folder / row["image_path"],
                GOOD if row["anomaly_class"] == good else row["anomaly_class"],
                folder / row["mask_path"] if row.get("mask_path") else None,
            )
            for row in split["test"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VadgenError(f"{file} is no Real-IAD split: {error!r}", f"get {SOURCE}") from None
    found = Dataset(
        file.stem,
        folder,
        tuple(sorted(path for path in train if _is_seen(path, views))),
        tuple(
            sorted(
                (item for item in test if _is_seen(item.path, views)),
                key=lambda item: (item.label, item.path),
            )
        ),
    )
    need_files(found, SOURCE)
    return found


def _is_seen(path: Path, views: Collection[str]) -> bool:
    """Whether the picture is from one of the cameras."""
    view = _VIEW.search(path.name)
    return view is not None and view[1] in views
