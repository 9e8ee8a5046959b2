"""What the cells' smoothing and a scaling of the features are worth: benchmarks/scores.csv.

    python tools/bench_scores.py DATA [--backbone NAME] [--weights FILE] [--seed N ...]

DATA is `demo`, a folder, or `elpv:mono` and `elpv:poly` of the package elpv-dataset. 1,000 float
rows are chosen among 30,000 patches of 100 training pictures, drawn with the seed, on the int8 taps
at 224 pixels; image AUROC of the greatest distance and of the greatest smoothed one is that of at
most 200 good and 200 bad test pictures. Features are as they are, or whitened level by level:
turned onto the eigenvectors of their covariance and divided by (eigenvalue + eps * mean
eigenvalue)^power, before rows are chosen. Lines of other sets, backbones and seeds stay.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "python"))

from vadgen.benchmark.metrics import auroc, curve_of  # noqa: E402
from vadgen.benchmark.pq_sweep import float_distances  # noqa: E402
from vadgen.data.collections import open_collection  # noqa: E402
from vadgen.data.dataset import Dataset  # noqa: E402
from vadgen.detectors.coreset import greedy_k_center  # noqa: E402
from vadgen.detectors.patchcore import Geometry, features, lay_out  # noqa: E402
from vadgen.pipeline import backbone as nets  # noqa: E402
from vadgen.pipeline.cache import Outputs  # noqa: E402
from vadgen.pipeline.calibrate import batches_of  # noqa: E402
from vadgen.pipeline.data import open_dataset  # noqa: E402
from vadgen.progress import open_progress  # noqa: E402
from vadgen.recipe import Recipe, read_recipe  # noqa: E402
from vadgen.ref.smooth import smooth  # noqa: E402

TABLE = ROOT / "benchmarks" / "scores.csv"
ROWS, TRAIN, PATCHES, TEST = 1000, 100, 30_000, 200
SCALINGS = {"none": None, "0.25, eps 1": (0.25, 1.0), "0.5, eps 1": (0.5, 1.0)}
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Line:
    """One set, backbone, seed and scaling (power, eps), with the image AUROC of both scores."""

    data: str
    backbone: str
    seed: int
    whitened: str
    good: int
    bad: int
    greatest: float
    smoothed: float


@dataclass(frozen=True, eq=False)
class Scene:
    """The taps of a set's pictures, and which test pictures are bad."""

    geometry: Geometry
    train: Outputs
    test: Outputs
    bad: NDArray[np.bool_]


def dataset_of(data: str, recipe: Recipe) -> Dataset:
    """The demo set, that of a folder, or a part of ELPV."""
    name, _, part = data.partition(":")
    if name == "elpv":
        return next(d for d in open_collection("elpv", ()) if d.name == part)
    return open_dataset(recipe)


def open_scene(dataset: Dataset, recipe: Recipe) -> Scene:
    """Quantizes the backbone and makes the features."""
    progress, sha = open_progress(sys.stderr), dataset.sha256()
    backbone = nets.make_backbone(recipe, nets.open_network(recipe), dataset, sha, progress)
    rng = np.random.default_rng(0)
    labels = np.array([item.is_anomalous for item in dataset.test])
    kinds = [rng.permutation(np.flatnonzero(labels == bad))[:TEST] for bad in (False, True)]
    chosen = np.sort(np.concatenate(kinds))
    train, _ = nets.features(backbone, dataset.train, sha, progress)
    test, _ = nets.features(backbone, [dataset.test[i].path for i in chosen], sha, progress)
    values = [backbone.program.values[i] for i in backbone.program.outputs]
    return Scene(lay_out(values), train, test, labels[chosen])


def whitening(patches: Float32, geometry: Geometry, power: float, eps: float) -> Float32:
    """(D, D), block by block the levels' own."""
    turn = np.zeros((geometry.dims, geometry.dims), np.float32)
    for level in geometry.levels:
        part = slice(level.first_dim, level.end_dim)
        variances, vectors = np.linalg.eigh(np.cov(patches[:, part].T.astype(np.float64)))
        variances = np.maximum(variances, 0)
        turn[part, part] = vectors / (variances + eps * variances.mean()) ** power
    return turn


def measure(scene: Scene, seed: int) -> Iterator[tuple[str, float, float]]:
    """By scaling, image AUROC of the greatest distance and of the greatest smoothed one."""
    geometry, rng = scene.geometry, np.random.default_rng(seed)
    drawn = np.sort(rng.permutation(len(scene.train[0]))[:TRAIN])
    parts = [features(batch, geometry) for batch in batches_of(scene.train, drawn)]
    patches = np.concatenate(parts).reshape(-1, geometry.dims)
    mean, few = patches.mean(axis=0), patches[rng.permutation(len(patches))[:PATCHES]]
    for name, scaling in SCALINGS.items():
        turn = np.eye(geometry.dims, dtype=np.float32)
        if scaling is not None:
            turn = whitening(patches, geometry, *scaling)
        turned = (few - mean) @ turn
        rows = turned[greedy_k_center(turned, min(ROWS, len(turned)), rng).indices]
        scores = []
        for batch in batches_of(scene.test, np.arange(len(scene.bad))):
            vectors = (features(batch, geometry).reshape(-1, geometry.dims) - mean) @ turn
            cells = float_distances(vectors, rows).reshape(-1, *geometry.inside.shape)
            scores += [(c.max(), smooth(c[None], geometry.inside).max()) for c in cells]
        found = [auroc(curve_of(score, scene.bad)) for score in np.array(scores).T]
        assert found[0] is not None and found[1] is not None, "pictures of both kinds are needed"
        yield name, found[0], found[1]


def main() -> None:
    """Renews the lines of one set, backbone and seeds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--weights")
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    args = parser.parse_args()
    given = {"backbone": args.backbone, "weights": args.weights, "input": "224", "board": "qemu_m7"}
    if args.data != "demo" and not args.data.startswith("elpv:"):
        given["data"] = args.data
    recipe = read_recipe(None, {k: v for k, v in given.items() if v is not None})
    dataset = dataset_of(args.data, recipe)
    name = args.data if args.data.startswith("elpv:") else dataset.name
    scene = open_scene(dataset, recipe)
    old: list[tuple[str, ...]] = []
    if TABLE.exists():
        with TABLE.open(newline="", encoding="utf-8") as file:
            old = [tuple(row) for row in csv.reader(file)][1:]
    new = []
    bad = int(scene.bad.sum())
    for seed in args.seed:
        for scaling, greatest, smoothed in measure(scene, seed):
            aurocs = round(greatest, 4), round(smoothed, 4)
            counts = len(scene.bad) - bad, bad
            line = Line(name, args.backbone, seed, scaling, *counts, *aurocs)
            print(*astuple(line), sep="  ", flush=True)
            new.append(tuple(map(str, astuple(line))))
    renewed = {row[:4] for row in new}
    lines = sorted([row for row in old if row[:4] not in renewed] + new)
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Line)])
        writer.writerows(lines)


if __name__ == "__main__":
    main()
