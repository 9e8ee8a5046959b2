"""The int8 backbone of a build, and the features it makes on this computer."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vadgen.build.compiler import FAST, identity
from vadgen.build.host import KERNELS, HostModel, compile_host
from vadgen.data.dataset import Dataset
from vadgen.data.images import Notes, iter_batches
from vadgen.emit.model import write_model
from vadgen.lower import Program, lower
from vadgen.pipeline.cache import Outputs, cached, load_arrays, save_arrays
from vadgen.pipeline.manifest import code_digest, sha256_text
from vadgen.plan.planner import make_plan
from vadgen.progress import Progress
from vadgen.quant.tflite_reader import read_tflite
from vadgen.recipe import Recipe

if TYPE_CHECKING:
    from vadgen.backbones.network import Network

BATCH = 32
_NOTES = "notes.txt"


@dataclass(frozen=True, eq=False)
class Backbone:
    """An int8 backbone.

    Attributes:
        tflite: bytes of `model.tflite`.
        program: its integer layers; the outputs are the taps.
        input_table: int8 (3, 256), camera byte to input tensor.
        key: digest of all it depends on.
        library: compiled for this computer, uint8 RGB in, taps out.
    """

    tflite: bytes
    program: Program
    input_table: NDArray[np.int8]
    key: str
    library: Path

    def host(self) -> HostModel:
        """The backbone, ready to run here."""
        return HostModel(self.library, self.program)


def open_network(recipe: Recipe) -> Network:
    """The float backbone, trimmed at its deepest tap."""
    from vadgen.backbones import load_backbone

    return load_backbone(
        recipe.backbone, weights=recipe.weights, width=recipe.width, seed=recipe.seed
    )


def make_backbone(
    recipe: Recipe, network: Network, dataset: Dataset, data_sha: str, progress: Progress
) -> Backbone:
    """Calibrates on training normals, quantizes, and compiles for this computer; cached."""
    from vadgen.quant.quantize import calibrate, input_quantization, quantize
    from vadgen.quant.tflite_writer import write_tflite

    assert recipe.input is not None
    size = recipe.input
    numbers = (size, recipe.calibration_images, recipe.seed)
    parts = (code_digest(), identity(FAST), data_sha, network_digest(network))
    key = sha256_text(*parts, *map(str, numbers))
    table = input_quantization(network).table

    def make(folder: Path) -> None:
        progress.step(f"Quantize {recipe.backbone} at {size} x {size}")
        pictures = _calibration_pictures(recipe, dataset.train)
        batches = iter_batches(pictures, size, 8)
        tracked = progress.track(batches, -(-len(pictures) // 8), "batches")
        graph = quantize(network, calibrate(network, tracked))
        (folder / "model.tflite").write_bytes(write_tflite(graph, f"{network.name} {size}"))
        progress.step("Compile the backbone for this computer")
        generated = folder / "generated"
        generated.mkdir()
        write_model(
            generated, make_plan(lower(graph), KERNELS), "the backbone alone", input_table=table
        )
        compile_host(generated, folder / "backbone.so")
        shutil.rmtree(generated)

    folder = cached("backbone", key, make)
    data = (folder / "model.tflite").read_bytes()
    return Backbone(data, lower(read_tflite(data)), table, key, folder / "backbone.so")


def features(
    backbone: Backbone, pictures: Sequence[Path], data_sha: str, progress: Progress
) -> tuple[Outputs, tuple[str, ...]]:
    """The int8 taps (n, rows, cols, channels) of all pictures, and notes on reading them.

    Both are cached on disk; the taps are read as they are used.
    """
    size = backbone.program.values[0].rows

    def make(folder: Path) -> None:
        progress.step(f"Features of {len(pictures)} pictures")
        host, notes = backbone.host(), Notes()
        batches = iter_batches(pictures, size, BATCH, notes)
        tracked = progress.track(batches, -(-len(pictures) // BATCH), "batches")
        save_arrays(folder, "tap", len(pictures), (host.run(b).outputs for b in tracked))
        (folder / _NOTES).write_text("\n".join(notes.lines()), encoding="utf-8")

    names = [str(p) for p in pictures]
    folder = cached("features", sha256_text(backbone.key, data_sha, *names), make)
    notes = (folder / _NOTES).read_text(encoding="utf-8").splitlines()
    return load_arrays(folder, "tap"), tuple(notes)


def network_digest(network: Network) -> str:
    """Hex SHA-256 of a float network: structure, weights, taps, preprocessing."""
    digest = hashlib.sha256()

    def add(value: object) -> None:
        if isinstance(value, np.ndarray):
            digest.update(repr((value.shape, value.dtype.str)).encode() + value.tobytes())
        elif isinstance(value, tuple):
            for item in value:
                add(item)
        elif hasattr(value, "__dataclass_fields__"):
            for name in sorted(value.__dataclass_fields__):
                digest.update(name.encode() + b"=")
                add(getattr(value, name))
        else:
            digest.update(repr(value).encode() + b"\0")

    add(network)
    return digest.hexdigest()


def _calibration_pictures(recipe: Recipe, train: Sequence[Path]) -> list[Path]:
    """Drawn at random, in the order of their names."""
    wanted = min(recipe.calibration_images, len(train))
    order = np.random.default_rng([recipe.seed, 1]).permutation(len(train))
    return [train[i] for i in sorted(order[:wanted].tolist())]
