"""The thesis's own figures, where they can be trusted.

Left out are:

- the pixel figures of PatchCore (tables 10.4 to 10.6): its maps were rescaled batch by batch;
- `cashew` in table 10.4: it is no part of MVTec AD;
- table 10.12 from `pcb` on: its rows are visibly interpolated.

The tables do not say which backbone they are of, and nothing of seeds or spread.

Source: Ben Khalifa, "Optimized Visual Anomaly Detection Models for Tiny Machine Learning", 2025.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path

FAMILIES = ("padim", "patchcore", "cfa", "stfpm")
DATASETS = ("mvtec", "visa", "realiad")
FIGURES = ("image_f1", "pixel_f1", "image_auroc", "pixel_auroc")
FIT_SECONDS = {
    "toothbrush": (0.847, 0.066),
    "zipper": (0.784, 0.074),
    "bottle": (0.782, 0.075),
    "wood": (0.791, 0.076),
    "metal_nut": (0.778, 0.075),
    "capsule": (0.787, 0.076),
    "transistor": (0.783, 0.077),
    "carpet": (0.860, 0.085),
    "tile": (0.813, 0.081),
    "leather": (0.780, 0.078),
    "cable": (0.788, 0.081),
    "grid": (0.785, 0.084),
    "hazelnut": (0.839, 0.092),
    "pill": (0.786, 0.086),
    "screw": (0.802, 0.099),
}
"""Table 8.1: seconds of PaDiM's fit with the full covariance and with its diagonal, on a GPU."""

_FILE = Path(__file__).with_name("thesis.csv")


def table_number(family: str, dataset: str) -> int | None:
    """N of table 10.N, or None where the thesis has none."""
    if family not in FAMILIES or dataset not in DATASETS:
        return None
    return 1 + 3 * FAMILIES.index(family) + DATASETS.index(dataset)


def figures(family: str, dataset: str, category: str) -> Mapping[str, float]:
    """The trusted figures of a category by name, of `FIGURES`; empty where there are none."""
    number = table_number(family, dataset)
    return {} if number is None else _tables().get((number, category), {})


@cache
def _tables() -> dict[tuple[int, str], dict[str, float]]:
    """Trusted figures by table and category."""
    found: dict[tuple[int, str], dict[str, float]] = {}
    interpolated = False
    with _FILE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            number, category = int(row["table"]), row["category"]
            interpolated = number == 12 and (interpolated or category == "pcb")
            if interpolated or (number, category) == (4, "cashew"):
                continue
            names = [n for n in FIGURES if number not in (4, 5, 6) or n.startswith("image")]
            found[number, category] = {name: float(row[name]) for name in names}
    return found
