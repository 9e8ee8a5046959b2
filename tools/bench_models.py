"""Builds whole models within memory budgets and records what they take: benchmarks/models.csv.

    python tools/bench_models.py [NAME ...]

Everything counts: rows, scratch, detector, stack, code and tables. Each is built on the demo set,
compared by bytes on the emulated core, and refused where it does not fit. MobileNetV2 1.0 takes the
weights of development data (VADGEN_SHARED, or ../shared beside the checkout) where they are, and
random ones elsewhere. Rows of what was not run stay as they are. Each change is printed: review it
like one of a golden file.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python")]

from vadgen.pipeline.builder import build  # noqa: E402
from vadgen.progress import SilentProgress  # noqa: E402
from vadgen.recipe import PadimOptions, PatchcoreOptions, Recipe  # noqa: E402

TABLE = ROOT / "benchmarks" / "models.csv"
SHARED = Path(os.environ.get("VADGEN_SHARED", ROOT.parent / "shared")) / "weights"
KERAS = SHARED / "mobilenet_v2_1.0_224_keras_folded.npz"
RANDOM = Path("random")

_MOBILENET = Recipe(
    board="qemu_m7",
    backbone="mobilenet_v2",
    weights=KERAS if KERAS.is_file() else RANDOM,
    input=224,
    detector="padim",
    padim=PadimOptions(variant="diagonal"),
    flash_budget=1 << 20,
)
_PADIM = Recipe(
    board="qemu_m4", detector="padim", padim=PadimOptions(variant="diagonal"), input=224
)
RECIPES = {
    "mobilenet_v2 1.0 at 224, padim": replace(_MOBILENET, ram_budget=192 * 1024),
    "mobilenet_v2 1.0 at 224, padim full": replace(
        _MOBILENET,
        ram_budget=192 * 1024,
        padim=PadimOptions(variant="full"),
    ),
    "mobilenet_v2 1.0 at 224, patchcore 1000": replace(
        _MOBILENET,
        ram_budget=192 * 1024,
        detector="patchcore",
        padim=PadimOptions(),
        patchcore=PatchcoreOptions(search="adc", codes=1000, subspaces=16, bits=8),
    ),
    "mobilenet_v2 0.35 at 224, padim": replace(
        _PADIM, backbone="mobilenet_v2", width=0.35, weights=RANDOM
    ),
    "efficientnet_lite0 at 128, padim": replace(_PADIM, input=128),
    "efficientnet_lite0 at 160, padim": replace(_PADIM, input=160),
}


@dataclass(frozen=True)
class Row:
    """One model on one board; bytes of the firmware, budgets as given or the board's."""

    model: str
    board: str
    weights: str
    detector: str
    flash_bytes: int
    flash_budget: int
    ram_bytes: int
    ram_budget: int
    instructions: int
    detector_instructions: int


def measure(name: str, recipe: Recipe) -> Row:
    """Builds and checks a model.

    Raises:
        SystemExit: other bytes somewhere, or the instructions were not counted.
    """
    with tempfile.TemporaryDirectory(prefix="vadgen-") as folder:
        result = build(recipe, Path(folder) / "out", SilentProgress())
    sizes = result.sizes
    if not all(result.parity.values()) or result.instructions is None or sizes is None:
        raise SystemExit(f"{name}: parity {dict(result.parity)}, notes {result.notes}")
    assert sizes.flash_budget is not None and sizes.ram_budget is not None
    return Row(
        name,
        recipe.board,
        "published" if recipe.weights is None else recipe.weights.stem,
        result.detector_title,
        sizes.flash_bytes,
        sizes.flash_budget,
        sizes.ram_bytes,
        sizes.ram_budget,
        result.instructions,
        result.instructions_by["detector"],
    )


def read_table() -> dict[str, Row]:
    """The stored rows by model."""
    if not TABLE.exists():
        return {}
    with TABLE.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))[1:]
    rows = [Row(*line[:4], *map(int, line[4:])) for line in lines]
    return {row.model: row for row in rows}


def write_table(rows: dict[str, Row]) -> None:
    """All rows, in the order of the recipes."""
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([f.name for f in fields(Row)])
        writer.writerows(astuple(rows[name]) for name in RECIPES if name in rows)


def show(old: Row | None, new: Row) -> None:
    """One model, with what changed."""
    print(f"{new.model} on {new.board}: {new.detector}")
    for name in ("flash_bytes", "ram_bytes", "instructions", "detector_instructions"):
        before, now = getattr(old, name, None), getattr(new, name)
        change = "" if before in (None, now) else f" (was {before:,})"
        print(f"{now:>15,} {name.replace('_', ' ')}{change}", flush=True)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", nargs="*", choices=[*RECIPES, []], help="all by default")
    rows = read_table()
    for name in parser.parse_args().model or RECIPES:
        row = measure(name, RECIPES[name])
        show(rows.get(name), row)
        rows[name] = row
        write_table(rows)


if __name__ == "__main__":
    main()
