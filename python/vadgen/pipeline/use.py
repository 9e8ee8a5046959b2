"""What is done with a finished output: verify, infer, evaluate, size, flash, monitor; clean."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadgen import paths
from vadgen.board import load_board
from vadgen.data.folder import load_dataset
from vadgen.data.images import Notes, load_rgb
from vadgen.errors import Exit, VadgenError
from vadgen.link.device import Device
from vadgen.link.port import is_port
from vadgen.lower import lower
from vadgen.pipeline.attached import attached, firmware_of, run_on_device, self_tests
from vadgen.pipeline.bank import other_banks
from vadgen.pipeline.compiler import (
    read_vectors,
    reference_run,
    run_on_emulator,
    run_on_host,
    tflm_run,
)
from vadgen.pipeline.evaluation import evaluate_scores, metrics_json, score_pictures
from vadgen.pipeline.manifest import read_manifest
from vadgen.pipeline.parity import Agreement, Run, compare, from_host
from vadgen.pipeline.shipped import Shipped, load_shipped, to_int8
from vadgen.pipeline.staging import shown
from vadgen.progress import Progress
from vadgen.quant.tflite_reader import read_tflite
from vadgen.report.heatmap import overlay, to_png


@dataclass(frozen=True)
class VerifyResult:
    """Whether the stored vectors come out again, by runner."""

    board: str
    out: str
    parity: Mapping[str, bool | None]
    parity_by: Mapping[str, Mapping[str, bool | None]]
    parity_images: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As `verify --json` prints it."""
        return dict(vars(self))


@dataclass(frozen=True)
class Scored:
    """One picture's answer; `map` is the heat map's file, if one was asked for."""

    image: str
    score: int
    is_anomalous: bool
    map: str | None


@dataclass(frozen=True)
class Traffic:
    """What went over the serial line for some pictures.

    Attributes:
        picture_bytes: of the pixels themselves.
        sent_bytes, received_bytes: by this computer, frames and repetitions included.
        seconds: from the first byte to the last answer.
    """

    picture_bytes: int
    sent_bytes: int
    received_bytes: int
    seconds: float


@dataclass(frozen=True)
class InferResult:
    """Answers for pictures; `traffic` where an attached board gave them."""

    out: str
    on: str
    threshold: int
    images: tuple[Scored, ...]
    traffic: Traffic | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As `infer --json` prints it."""
        traffic = None if self.traffic is None else dict(vars(self.traffic))
        images = [dict(vars(image)) for image in self.images]
        return {**vars(self), "images": images, "traffic": traffic}


@dataclass(frozen=True)
class EvaluateResult:
    """Metrics of the shipped model on a labelled set."""

    out: str
    data: str
    on: str
    threshold: int
    metrics: Mapping[str, Mapping[str, float | None]]
    notes: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As `evaluate --json` prints it."""
        return dict(vars(self))


@dataclass(frozen=True)
class SizeResult:
    """`size.json` of an output, as the build measured it; `banks` as they would be."""

    board: str
    out: str
    sizes: Mapping[str, Any]
    banks: Sequence[Mapping[str, Any]] = ()

    def to_json(self) -> dict[str, Any]:
        """As `size --json` prints it."""
        other = {"banks": list(self.banks)} if self.banks else {}
        return {"board": self.board, "out": self.out, **self.sizes, **other}


@dataclass(frozen=True)
class CleanResult:
    """Folders that were removed."""

    removed: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As `clean --json` prints it."""
        return {"removed": list(self.removed)}


@dataclass(frozen=True)
class DemoResult:
    """Where the demo set was written."""

    out: str
    train: int
    test: int

    def to_json(self) -> dict[str, Any]:
        """As `demo-data --json` prints it."""
        return dict(vars(self))


def verify(out: Path, on: str, progress: Progress) -> VerifyResult:
    """Replays the stored vectors on this computer, the emulated core or an attached board.

    Args:
        out: an output of `build` or `compile`.
        on: "host", "emulator", a serial port, or "auto": both where the board has an emulator.
        progress: told each step.

    Raises:
        VadgenError: no vectors, no such runner, or a tool is missing.
    """
    started = time.monotonic()
    manifest = read_manifest(out)
    board = load_board(manifest["board"])
    images, stored = read_vectors(out)
    is_build = manifest["kind"] == "build"
    agreements: dict[str, Agreement] = {}
    _check_runner(on, ("auto", "host", "emulator"))
    if is_build:
        shipped = load_shipped(out)
        program, tflite = shipped.program, shipped.tflite
        inputs = to_int8(shipped.input_table, images)
        again = shipped.reference(images)
    else:
        tflite = (out / "model.tflite").read_bytes()
        program, inputs = lower(read_tflite(tflite)), images
        again = reference_run(program, images)
    progress.step("Numpy reference and TFLM interpreter")
    agreements["reference"] = compare(stored, again)
    agreements["tflm"] = compare(stored, tflm_run(tflite, program, inputs))
    if on in ("auto", "host"):
        progress.step("Host C")
        hosts: list[Run] = []
        if board.port == "host":
            elf = firmware_of(out)
            hosts.append(run_on_emulator(elf, board, program, images, detector=is_build))
        if not is_build:
            hosts.append(run_on_host(program, images))
        elif board.port != "host" or manifest["recipe"].get("runtime") != "tflm":
            hosts.append(from_host(shipped.host(out).run(images)))
        agreements["host"] = reduce(Agreement.and_also, (compare(stored, run) for run in hosts))
    if on == "emulator" or (on == "auto" and board.emulator and (out / "firmware.elf").is_file()):
        progress.step(f"Emulated {board.core}")
        elf = firmware_of(out)
        agreements["emulator"] = compare(
            stored, run_on_emulator(elf, board, program, images, detector=is_build)
        )
    parity: dict[str, bool | None] = {name: a.holds for name, a in agreements.items()}
    if is_port(on):
        with attached(out, on) as device:
            progress.step(f"Board at {on}")
            run = run_on_device(device, program, images, detector=is_build)
            agreements["board"] = compare(stored, run)
            parity["board"] = agreements["board"].holds
            progress.step("Images built into the board")
            parity["self_test"] = all(self_tests(device))
    return VerifyResult(
        board.id,
        shown(out),
        parity,
        {name: a.to_json() for name, a in agreements.items()},
        len(images),
        round(time.monotonic() - started, 1),
    )


def infer(out: Path, images: Sequence[Path], on: str, map_dir: Path | None) -> InferResult:
    """Scores pictures, and writes heat maps into `map_dir` if given.

    Args:
        out: an output of `build`.
        images: picture files.
        on: "reference", "host", "emulator" or a serial port.
        map_dir: folder for `<name>.png`; made when missing.

    Raises:
        VadgenError: a picture or the output cannot be read, or a tool is missing.
    """
    read_manifest(out, "build")
    shipped = load_shipped(out)
    notes = Notes()
    photos = [load_rgb(path, shipped.input_size, notes) for path in images]
    with _scorer(out, shipped, on) as scorer:
        started = time.monotonic()
        run = scorer.score(np.stack(photos))
        traffic = scorer.traffic(sum(p.nbytes for p in photos), time.monotonic() - started)
    assert run.scores is not None and run.decisions is not None and run.cells is not None
    maps: list[str | None] = [None] * len(images)
    if map_dir is not None:
        names = _map_names(images)
        for i, name in enumerate(names):
            cells = run.cells[i].reshape(shipped.detector.cell_shape)
            inside = shipped.detector.inside
            drawn = overlay(photos[i], cells, shipped.threshold.value, inside)
            maps[i] = shown(_write(map_dir / name, to_png(drawn)))
    scored = tuple(
        Scored(shown(path), int(run.scores[i]), bool(run.decisions[i]), maps[i])
        for i, path in enumerate(images)
    )
    return InferResult(shown(out), on, shipped.threshold.value, scored, traffic, notes.lines())


def evaluate(out: Path, data: Path, on: str, progress: Progress) -> EvaluateResult:
    """Metrics of the shipped integer model on a labelled set.

    Raises:
        VadgenError: the set has no labelled pictures, or as `infer`.
    """
    started = time.monotonic()
    read_manifest(out, "build")
    dataset = load_dataset(data)
    if not dataset.test:
        raise VadgenError(
            f"{data} has no labelled pictures", "it needs test/good and test/<defect>"
        )
    shipped = load_shipped(out)
    progress.step(f"Score {len(dataset.test)} pictures")
    notes = Notes()
    with _scorer(out, shipped, on) as scorer:
        runs = list(score_pictures(scorer.score, dataset.test, shipped.input_size, progress, notes))
    progress.step("Metrics")
    evaluation = evaluate_scores(dataset, shipped, runs)
    return EvaluateResult(
        shown(out),
        dataset.name,
        on,
        shipped.threshold.value,
        {"int8": metrics_json(evaluation.metrics)},
        (*notes.lines(), *evaluation.notes()),
        round(time.monotonic() - started, 1),
    )


def size(out: Path, codes: Sequence[int] = (), candidates: Sequence[int] = ()) -> SizeResult:
    """Flash and RAM by part, as the build measured them.

    Args:
        out: an output of `build` or `compile`.
        codes: rows of memory banks to compute the ledger of, beside the one that was built.
        candidates: the same for the candidates of the two-phase search.

    Raises:
        VadgenError: the firmware was not compiled there, or as `other_banks`.
    """
    manifest = read_manifest(out)
    try:
        sizes = json.loads((out / "size.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise VadgenError(f"{out / 'size.json'} cannot be read", "build again") from None
    if not sizes:
        raise VadgenError(
            f"the firmware in {out} was not compiled here",
            f"pio run -d {shown(out / 'firmware')}",
            Exit.TOOL_MISSING,
        )
    banks: Sequence[Mapping[str, Any]] = ()
    if codes or candidates:
        read_manifest(out, "build")
        waiting = sizes.get("bank", {}).get("ram_by", {}).get("patches", 0)
        banks = other_banks(load_shipped(out).detector, waiting, codes, candidates)
    return SizeResult(manifest["board"], shown(out), sizes, banks)


def clean(out: Path | None) -> CleanResult:
    """Removes outputs of builds and the caches.

    Args:
        out: one output; None removes every output below `build/` and the cache.
    """
    if out is not None:
        read_manifest(out)
        shutil.rmtree(out)
        return CleanResult((shown(out),))
    outputs = sorted(p.parent for p in Path("build").glob("*/manifest.json"))
    partial = sorted(p for p in Path("build").glob("*.partial-*") if p.is_dir())
    cache = [paths.cache()] if paths.cache().is_dir() else []
    for folder in (*outputs, *partial, *cache):
        shutil.rmtree(folder)
    return CleanResult(tuple(shown(p) for p in (*outputs, *partial, *cache)))


def demo_data(directory: Path, seed: int, progress: Progress) -> DemoResult:
    """Writes the demo set.

    Raises:
        VadgenError: the folder is in use or cannot be written.
    """
    from vadgen.data.demo import write_demo

    progress.step("Paint the demo set")
    write_demo(directory, seed)
    dataset = load_dataset(directory)
    return DemoResult(shown(directory), len(dataset.train), len(dataset.test))


@dataclass(frozen=True, eq=False)
class _Scorer:
    """What scores images (N, H, W, 3), and the attached board where that is one."""

    score: Callable[[NDArray[np.uint8]], Run]
    device: Device | None = None

    def traffic(self, picture_bytes: int, seconds: float) -> Traffic | None:
        """What went over the line so far."""
        if self.device is None:
            return None
        sent, received = self.device.sent_bytes, self.device.received_bytes
        return Traffic(picture_bytes, sent, received, round(seconds, 3))


@contextmanager
def _scorer(out: Path, shipped: Shipped, on: str) -> Iterator[_Scorer]:
    """A scorer by its name; an attached board stays attached until the block ends."""
    _check_runner(on, ("reference", "host", "emulator"))
    if on == "reference":
        yield _Scorer(shipped.reference)
    elif on == "host":
        host = shipped.host(out)
        yield _Scorer(lambda images: from_host(host.run(images, want_outputs=False)))
    elif on == "emulator":
        board, elf = load_board(read_manifest(out)["board"]), firmware_of(out)
        yield _Scorer(
            lambda images: run_on_emulator(elf, board, shipped.program, images, detector=True)
        )
    else:
        with attached(out, on) as device:
            yield _Scorer(
                lambda images: run_on_device(
                    device, shipped.program, images, detector=True, want_outputs=False
                ),
                device,
            )


def _check_runner(on: str, known: Sequence[str]) -> None:
    if on not in known and not is_port(on):
        raise VadgenError(
            f"'{on}' is no runner that this build can use",
            f"--on takes {', '.join(known)} or a serial port such as /dev/ttyUSB0, COM3 or "
            "socket://host:port",
        )


def _map_names(images: Sequence[Path]) -> list[str]:
    """One file name a picture: its stem, with its folder's where stems are not unique."""
    stems = [path.stem for path in images]
    if len(set(stems)) == len(stems):
        return [f"{stem}.png" for stem in stems]
    longer = [f"{path.parent.name}_{path.stem}" for path in images]
    if len(set(longer)) == len(longer):
        return [f"{stem}.png" for stem in longer]
    return [f"{i:04d}_{stem}.png" for i, stem in enumerate(stems)]


def _write(path: Path, data: bytes) -> Path:
    """Writes a file aside and moves it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.partial")
    try:
        aside.write_bytes(data)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return path
