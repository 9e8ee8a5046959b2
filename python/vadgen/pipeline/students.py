"""Detectors that are trained: the backbone with its student as one network, to be quantized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vadgen.data.dataset import Dataset
from vadgen.pipeline.cache import remembered
from vadgen.pipeline.manifest import code_digest, sha256_text
from vadgen.progress import Progress
from vadgen.recipe import Recipe

if TYPE_CHECKING:
    from vadgen.backbones.network import Network

SHARES = {"stfpm": False, "paste": True}
"""Detectors with a student, and whether it begins with the teacher's first layers."""


def untrained(recipe: Recipe, network: Network) -> Network:
    """What a build's network will look like, with a student where the detector has one."""
    if recipe.detector not in SHARES:
        return network
    from vadgen.benchmark.methods.stfpm import draw

    return draw(network, recipe.seed, shares=SHARES[recipe.detector]).network()


def trained(
    recipe: Recipe,
    network: Network,
    dataset: Dataset,
    chosen: Sequence[int],
    data_sha: str,
    progress: Progress,
) -> Network:
    """The float network of a build, its student trained; cached.

    Args:
        recipe: with an input size.
        network: the backbone, which teaches.
        dataset: its training pictures are used.
        chosen: places of those to train on.
        data_sha: digest of what decides the data set.
        progress: told the loss.

    Raises:
        VadgenError: fewer than two pictures, or a loss that is no number.
    """
    if recipe.detector not in SHARES:
        return network
    from vadgen.benchmark.methods.stfpm import EPOCHS, fit
    from vadgen.pipeline.backbone import network_digest
    from vadgen.pipeline.benchmark_features import find_store

    assert recipe.input is not None
    size, epochs = recipe.input, recipe.student.epochs or EPOCHS
    paths = [dataset.train[i] for i in chosen]

    def make() -> Network:
        progress.step(f"Train the student on {len(paths)} pictures, {epochs} epochs")
        store = find_store(network, replace(dataset, test=()), data_sha, size)
        store.make()
        pictures = store.pictures(paths)
        shares = SHARES[recipe.detector]
        return fit(pictures, recipe.seed, progress, shares=shares, epochs=epochs).network()

    code = code_digest("backbones"), code_digest("benchmark/methods"), code_digest("data")
    settings = (recipe.detector, str(size), str(epochs), str(recipe.seed))
    names = [str(path) for path in paths]
    key = sha256_text(*code, data_sha, network_digest(network), *settings, *names)
    return remembered("student", key, make)
