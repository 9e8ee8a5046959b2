"""ELPV: solar cells seen by electroluminescence, labelled by experts, without masks.

A label is the probability of a defect: 0, 1/3, 2/3 or 1. Cells below one half are good, as in the
paper. Each kind of cell is a part of its own; four of five certainly good cells, drawn once for
all, are for training.

Source: Deitsch et al., "Segmentation of photovoltaic module cells in uncalibrated
electroluminescence images", 2021.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from vadgen.data.dataset import GOOD, Dataset, LabelledImage, need_files
from vadgen.errors import Exit, VadgenError

CATEGORIES = ("mono", "poly")
SOURCE = "pip install 'vadgen[elpv]' (PyPI: elpv-dataset), or github.com/zae-bayern/elpv-dataset"
_LABELS = "labels.csv"


def detect(root: Path) -> bool:
    """Whether the folder holds ELPV: its labels beside the folder of images."""
    return (root / _LABELS).is_file() and (root / "images").is_dir()


def package_root() -> Path:
    """The data of the PyPI package.

    Raises:
        VadgenError: TOOL_MISSING; it is not installed.
    """
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or spec.origin is None:
        raise VadgenError("the data set elpv is not installed", SOURCE, Exit.TOOL_MISSING)
    return Path(spec.origin).parent / "data"


def load(root: Path) -> tuple[Dataset, ...]:
    """Monocrystalline and polycrystalline cells.

    Raises:
        VadgenError: the labels are damaged, or files are missing.
    """
    labelled: dict[str, list[tuple[Path, float]]] = {name: [] for name in CATEGORIES}
    try:
        for line in (root / _LABELS).read_text(encoding="utf-8").splitlines():
            name, probability, kind = line.split()
            labelled[kind].append((root / name, float(probability)))
    except (OSError, ValueError, KeyError) as error:
        raise VadgenError(f"{root / _LABELS} is damaged: {error!r}", f"get {SOURCE}") from None
    return tuple(_part(kind, root, rows) for kind, rows in labelled.items() if rows)


def _part(kind: str, root: Path, rows: list[tuple[Path, float]]) -> Dataset:
    certain = sorted(path for path, probability in rows if probability == 0)
    order = np.random.default_rng(0).permutation(len(certain))
    train = {certain[i] for i in order[: len(certain) * 4 // 5]}
    test = [
        LabelledImage(path, _label(probability), None)
        for path, probability in rows
        if path not in train
    ]
    test.sort(key=lambda item: (item.label, item.path))
    found = Dataset(kind, root, tuple(sorted(train)), tuple(test))
    need_files(found, SOURCE)
    return found


def _label(probability: float) -> str:
    if probability < 0.5:
        return GOOD
    return "defective" if probability == 1 else "likely_defective"
