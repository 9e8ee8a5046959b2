"""Image AUROC against the bytes of PatchCore's memory bank, by kind: benchmarks/banks.csv.

    python tools/bench_banks.py DATA [--backbone NAME] [--weights FILE] [--bytes SIZE ...]
                                [--most N]

For each cap on the whole bank (codes, codebooks, rotation, look-up tables) every kind is made as
large as the cap, the board's memory and the instruction budget allow, as a build weighs it, all
from one coreset, and scored on the labelled pictures; `float` is the same rows unquantized. `auto`
marks the kind that a build would take: it is chosen without any label. Instructions are those that
a build counts on held-out pictures. Rows of other sets, backbones and caps stay. At most N labelled
pictures are scored, drawn with the seed. Selected rows and scores stay in the cache, so that a run
that was stopped goes on.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "python"))

from vadgen.benchmark.metrics import auroc, curve_of  # noqa: E402
from vadgen.board import load_board  # noqa: E402
from vadgen.data.dataset import Dataset  # noqa: E402
from vadgen.detectors import patchcore, picker  # noqa: E402
from vadgen.detectors.coreset import BatchedCoreset  # noqa: E402
from vadgen.pipeline.backbone import Backbone, features, make_backbone, open_network  # noqa: E402
from vadgen.pipeline.cache import Outputs, remembered  # noqa: E402
from vadgen.pipeline.calibrate import batches_of, fitted_on  # noqa: E402
from vadgen.pipeline.data import open_dataset  # noqa: E402
from vadgen.pipeline.detector import patchcore_options  # noqa: E402
from vadgen.pipeline.manifest import sha256_text  # noqa: E402
from vadgen.pipeline.pick import choose_bank  # noqa: E402
from vadgen.progress import Progress, open_progress  # noqa: E402
from vadgen.recipe import Recipe, read_recipe  # noqa: E402
from vadgen.ref.smooth import smooth  # noqa: E402
from vadgen.units import parse_bytes  # noqa: E402

TABLE = ROOT / "benchmarks" / "banks.csv"


@dataclass(frozen=True)
class Line:
    """One bank on one set."""

    data: str
    backbone: str
    pictures: int
    cap: int
    kind: str
    auto: str
    rows: int
    bank_bytes: int
    instructions: int
    float_auroc: float
    image_auroc: float


@dataclass(frozen=True, eq=False)
class Labelled:
    """A labelled set as a backbone sees it.

    Attributes:
        dataset, backbone: of the recipe.
        train, test: int8 taps of the training pictures, and of those drawn to be scored.
        fitted: training pictures that the rows come from.
        is_anomalous: of the test pictures.
        geometry: of the patches.
        rows: float32 (N, D), the largest bank; a smaller one is its beginning.
        key: digest of all that the taps depend on.
    """

    dataset: Dataset
    backbone: Backbone
    train: Outputs
    test: Outputs
    fitted: NDArray[np.int64]
    is_anomalous: NDArray[np.bool_]
    geometry: patchcore.Geometry
    rows: NDArray[np.float32]
    key: str


def open_labelled(recipe: Recipe, most: int, progress: Progress) -> Labelled:
    """Features of the training pictures and of at most `most` labelled ones, and one coreset."""
    dataset, network = open_dataset(recipe), open_network(recipe)
    data_sha = dataset.sha256()
    backbone = make_backbone(recipe, network, dataset, data_sha, progress)
    values = [backbone.program.values[i] for i in backbone.program.outputs]
    train, _ = features(backbone, dataset.train, data_sha, progress)
    drawn = np.random.default_rng(recipe.seed).permutation(len(dataset.test))[:most]
    items = [dataset.test[i] for i in np.sort(drawn).tolist()]
    test, _ = features(backbone, [item.path for item in items], data_sha, progress)
    base = patchcore_options(recipe)
    geometry = patchcore.lay_out(values, base.halve)
    key = sha256_text(backbone.key, data_sha)
    fitted = fitted_on(len(dataset.train), recipe)
    rows = remembered(
        "bench_rows",
        sha256_text(key, str(base)),
        lambda: _rows(train, fitted, geometry, recipe),
    )
    labels = np.array([item.is_anomalous for item in items])
    return Labelled(dataset, backbone, train, test, fitted, labels, geometry, rows, key)


def measure(recipe: Recipe, caps: list[int], most: int) -> Iterator[Line]:
    """Every kind under every cap."""
    progress, board = open_progress(sys.stderr), load_board(recipe.board)
    data = open_labelled(recipe, most, progress)
    rows, geometry, labels = data.rows, data.geometry, data.is_anomalous
    weighed: list[tuple[int, picker.Judged, bool]] = []
    for cap in caps:
        capped = replace(recipe, patchcore=replace(recipe.patchcore, bank_bytes=cap))
        banks = choose_bank(
            capped, board, data.backbone, data.dataset.train, data.train, None, data.key, progress
        )[1]
        weighed += [(cap, bank, i == 0) for i, bank in enumerate(banks)]
    sizes = {bank.options.n_codes for _, bank, _ in weighed}
    floats = float_scores(data.test, rows, sizes, geometry)

    def score(option: patchcore.Options) -> float:
        tables = patchcore.freeze(rows[: option.n_codes], geometry, option, recipe.seed)
        batches = batches_of(data.test, np.arange(len(labels)))
        return image_auroc(np.concatenate([tables.score(batch)[1] for batch in batches]), labels)

    for cap, bank, is_taken in weighed:
        option, n = bank.options, bank.options.n_codes
        scored = remembered(
            "bench_banks", sha256_text(data.key, str(option), str(most)), partial(score, option)
        )
        yield Line(
            data.dataset.name,
            recipe.backbone,
            len(labels),
            cap,
            option.title,
            "auto" if is_taken else "",
            n,
            bank.bank_bytes,
            bank.instructions,
            round(image_auroc(floats[n], labels), 4),
            round(scored, 4),
        )


def image_auroc(scores: NDArray[Any], labels: NDArray[np.bool_]) -> float:
    """Of the pictures' scores."""
    found = auroc(curve_of(scores, labels))
    assert found is not None, "labelled pictures of both kinds are needed"
    return found


def _rows(
    train: Outputs, fitted: NDArray[np.int64], geometry: patchcore.Geometry, recipe: Recipe
) -> NDArray[np.float32]:
    rng = np.random.default_rng(recipe.seed)
    coreset = BatchedCoreset(picker.MAX_CODES, geometry.dims, recipe.memory.coreset_memory, rng)
    for batch in batches_of(train, fitted):
        coreset.add(patchcore.features(batch, geometry).reshape(-1, geometry.dims))
    return coreset.select(1)


def float_scores(
    test: Outputs,
    rows: NDArray[np.float32],
    sizes: set[int],
    geometry: patchcore.Geometry,
) -> dict[int, NDArray[np.float64]]:
    """By bank size, each picture's greatest smoothed distance from the nearest of its rows.

    A smaller bank is the beginning of a larger one, so that one pass serves all.
    """
    norms = (rows**2).sum(axis=1)
    scores: dict[int, list[float]] = {n: [] for n in sorted(sizes)}
    for i in range(len(test[0])):
        x = patchcore.features(tuple(o[i : i + 1] for o in test), geometry)[0]
        x = x.reshape(-1, geometry.dims)
        nearest, first = np.full(len(x), np.inf), 0
        for n, found in scores.items():
            part = norms[first:n] - 2 * (x @ rows[first:n].T)
            nearest, first = np.minimum(nearest, part.min(axis=1)), n
            squared = np.maximum((x**2).sum(axis=1) + nearest, 0)
            cells = np.sqrt(squared).reshape(1, *geometry.inside.shape)
            found.append(float(smooth(cells, geometry.inside).max()))
    return {n: np.array(found) for n, found in scores.items()}


def renew(table: Path, line_type: type, lines: Iterator[Any]) -> None:
    """Prints the lines and writes them to the table, over those of the same set, backbone, cap."""
    new = []
    for line in lines:
        print(*astuple(line), sep="  ", flush=True)
        new.append(tuple(map(str, astuple(line))))
    old: list[tuple[str, ...]] = []
    if table.exists():
        with table.open(newline="", encoding="utf-8") as file:
            old = [tuple(row) for row in csv.reader(file)][1:]
    renewed = {(*row[:2], row[3]) for row in new}
    kept = [row for row in old if (*row[:2], row[3]) not in renewed]
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(line_type)])
        writer.writerows(sorted(kept + new, key=lambda row: (row[0], row[1], int(row[3]))))


def main() -> None:
    """Renews the lines of one set and backbone."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--weights")
    parser.add_argument("--board", default="qemu_m7")
    parser.add_argument("--most", type=int, default=200)
    parser.add_argument("--bytes", nargs="+", default=["32K", "64K", "128K", "256K"])
    args = parser.parse_args()
    flags = {k: v for k, v in vars(args).items() if k not in ("bytes", "most") and v is not None}
    recipe = read_recipe(None, {**flags, "input": "224", "detector": "patchcore"})
    caps = [parse_bytes(text) for text in args.bytes]
    renew(TABLE, Line, measure(recipe, caps, args.most))


if __name__ == "__main__":
    main()
