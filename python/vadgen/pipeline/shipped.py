"""The finished model: what OUT holds, what runs on this computer, what the firmware is made of."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vadgen.build.compiler import FAST, identity
from vadgen.build.host import KERNELS, HostModel, compile_host
from vadgen.emit.model import DetectorCode, write_model
from vadgen.errors import VadgenError
from vadgen.lower import Program, lower
from vadgen.pipeline.cache import cached
from vadgen.pipeline.compiler import reference_run
from vadgen.pipeline.detector import Detector, detector_of
from vadgen.pipeline.frozen import load_frozen, save_frozen
from vadgen.pipeline.identity import model_digest
from vadgen.pipeline.manifest import code_digest, sha256_text
from vadgen.pipeline.parity import Run
from vadgen.plan.planner import make_plan
from vadgen.quant.tflite_reader import read_tflite
from vadgen.threshold import Threshold

_TABLES = "model.npz"
_NETWORK = "model.tflite"


@dataclass(frozen=True, eq=False)
class _Tables:
    """Content of `model.npz`."""

    input_table: NDArray[np.int8]
    detector: object
    threshold: Threshold
    source: str


@dataclass(frozen=True, eq=False)
class Shipped:
    """A backbone with its detector and threshold.

    Attributes:
        tflite: the int8 network.
        program: its integer layers.
        input_table: int8 (3, 256), camera byte to input tensor.
        detector: frozen.
        threshold: of the image score.
        source: what it was made from, for the first line of generated files.
    """

    tflite: bytes
    program: Program
    input_table: NDArray[np.int8]
    detector: Detector
    threshold: Threshold
    source: str

    @property
    def input_size(self) -> int:
        """Height and width of the input in pixels."""
        return self.program.values[0].rows

    def save(self, folder: Path) -> None:
        """Writes `model.tflite` and `model.npz`."""
        (folder / _NETWORK).write_bytes(self.tflite)
        tables = _Tables(self.input_table, self.detector.tables, self.threshold, self.source)
        save_frozen(folder / _TABLES, tables)

    def code(self) -> DetectorCode:
        """The detector as the templates print it."""
        t = self.threshold
        note = (
            f"Threshold for a false-positive rate of {t.alpha:g}, from {t.n} good pictures "
            f"({t.method})."
        )
        d = self.detector
        return DetectorCode(d.name, d.code, *d.cell_shape, t.value, note, d.score_note)

    def host(self, folder: Path) -> HostModel:
        """The model compiled for this computer, once for the files in `folder` (see `save`)."""

        def make(work: Path) -> None:
            generated = work / "generated"
            generated.mkdir()
            plan = make_plan(self.program, KERNELS, self.detector.sink)
            write_model(
                generated, plan, self.source, input_table=self.input_table, detector=self.code()
            )
            compile_host(generated, work / "model.so")
            shutil.rmtree(generated)

        key = sha256_text(code_digest(), identity(FAST), model_digest(folder).hex())
        library = cached("host", key, make) / "model.so"
        return HostModel(library, self.program, self.detector.cell_shape)

    def reference(self, images: NDArray[np.uint8]) -> Run:
        """The numpy kernels and the detector's numpy twin on uint8 RGB images (N, H, W, 3)."""
        taps = reference_run(self.program, to_int8(self.input_table, images)).outputs
        cells, scores = self.detector.score(taps)
        decisions = scores > np.uint32(self.threshold.value)
        return Run(taps, cells.reshape(len(cells), -1), scores, decisions)


def load_shipped(folder: Path) -> Shipped:
    """The model in an output of `build`.

    Raises:
        VadgenError: missing or damaged.
    """
    try:
        tflite = (folder / _NETWORK).read_bytes()
    except OSError as error:
        raise VadgenError(
            f"{folder / _NETWORK} cannot be read: {error.strerror}", "build again"
        ) from None
    tables = load_frozen(folder / _TABLES)
    return Shipped(
        tflite,
        lower(read_tflite(tflite)),
        tables.input_table,
        detector_of(tables.detector),
        tables.threshold,
        tables.source,
    )


def to_int8(table: NDArray[np.int8], images: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Camera bytes (N, H, W, C) as the input tensor takes them."""
    return np.stack([table[c][images[..., c]] for c in range(images.shape[-1])], axis=-1)
