"""Bad input and interruptions: two lines, the right exit code, and nothing half-written."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import parts
import pytest
from firmware_model import usable
from graphs import GraphBuilder
from PIL import Image
from verbs import PADIM, TINY, fails, files, run_json

import vadgen
from vadgen import cli
from vadgen.errors import Exit, VadgenError
from vadgen.pipeline.cache import cached, load_arrays, save_arrays
from vadgen.pipeline.staging import MANIFEST, staged
from vadgen.progress import PlainProgress
from vadgen.quant.tflite_writer import write_tflite

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return parts.write_good(tmp_path / "good")


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Where a build that fails would have written; afterwards nothing may be there."""
    folder = tmp_path / "outs"
    folder.mkdir()
    yield folder / "out"
    assert list(folder.iterdir()) == []


def build(data: Path, out: Path, *more: object, board: str = "host") -> tuple[object, ...]:
    return ("build", "--board", board, "--data", data, "--out", out, *TINY, *PADIM, *more)


# --- pictures -------------------------------------------------------------------------------------


def test_missing_and_empty_folders(tmp_path: Path, out: Path, capfd: Any) -> None:
    told = fails(capfd, Exit.INPUT, *build(tmp_path / "nowhere", out))
    assert "no such folder" in told and "nowhere" in told
    (tmp_path / "empty").mkdir()
    assert "is empty" in fails(capfd, Exit.INPUT, *build(tmp_path / "empty", out))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("cut", "damaged image"),
        ("text", "not an image"),
        ("one pixel", "is 1x1 pixels"),
    ],
)
def test_a_bad_picture_is_named(kind: str, said: str, good: Path, out: Path, capfd: Any) -> None:
    bad = good / "007.png"
    if kind == "cut":
        bad.write_bytes(bad.read_bytes()[:1500])
    elif kind == "text":
        bad.write_text("no picture", encoding="utf-8")
    else:
        parts.save(bad, np.zeros((1, 1, 3)))
    told = fails(capfd, Exit.INPUT, *build(good, out)).splitlines()[0]
    assert said in told and "007.png" in told


def test_a_mask_of_another_size(tmp_path: Path, out: Path, capfd: Any) -> None:
    data = parts.write_labelled(tmp_path / "data")
    parts.save(data / "ground_truth" / "spot" / "002_mask.png", np.ones((7, 9)))
    told = fails(capfd, Exit.INPUT, *build(data, out))
    assert "002_mask.png is 9x7" in told and "40x40" in told


def test_conversions_are_noted_with_a_cold_and_a_warm_cache(tmp_path: Path, capfd: Any) -> None:
    data = parts.write_labelled(tmp_path / "data")
    photo = Image.open(data / "train" / "good" / "000.png").convert("CMYK")
    photo.save(data / "train" / "good" / "000.tif")
    (data / "train" / "good" / "000.png").unlink()
    deep = np.full((40, 40), 30_000, np.uint16)
    Image.fromarray(deep).save(data / "test" / "good" / "001.png")
    outs = tmp_path / "a", tmp_path / "b"
    results = [run_json(capfd, *build(data, out)) for out in outs]
    assert results[0]["notes"] == results[1]["notes"]
    assert any(n.startswith("training: 1 image (000.tif): CMYK") for n in results[0]["notes"])
    assert any(n.startswith("test: 1 image (001.png): 16 bits") for n in results[0]["notes"])
    assert files(outs[0]) == files(outs[1])
    assert b"000.tif" in (outs[0] / "report.html").read_bytes()

    photo = data / "test" / "good" / "001.png"
    assert "16 bits" in run_json(capfd, "infer", outs[0], photo)["notes"][0]
    assert "16 bits" in run_json(capfd, "evaluate", outs[0], "--data", data)["notes"][0]
    assert "no such image" in fails(capfd, Exit.INPUT, "infer", outs[0], data / "none.png")


def test_a_second_build_makes_nothing_slow_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    data = parts.write_labelled(tmp_path / "data")
    outs = tmp_path / "a", tmp_path / "b"
    run_json(capfd, *build(data, outs[0]))
    for slow in (
        "vadgen.pipeline.builder.tflm_run",
        "vadgen.pipeline.shipped.reference_run",
        "vadgen.backbones.network.forward",
        "vadgen.quant.quantize.calibrate",
        "vadgen.pipeline.backbone.compile_host",
        "vadgen.pipeline.shipped.compile_host",
    ):
        monkeypatch.setattr(slow, _full)
    run_json(capfd, *build(data, outs[1]))
    assert files(outs[0]) == files(outs[1])


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--alpha", "0.01"), "12"),
        (("--backbone", "tinny"), "tiny"),
        (("--board", "qemu_m77"), "qemu_m7"),
    ],
)
def test_settings_that_cannot_be(
    more: tuple[str, str], said: str, good: Path, out: Path, capfd: Any
) -> None:
    assert said in fails(capfd, Exit.INPUT, *build(good, out, *more))


def test_an_unknown_key_of_the_recipe(good: Path, out: Path, tmp_path: Path, capfd: Any) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('backbon = "tiny"\n', encoding="utf-8")
    told = fails(capfd, Exit.INPUT, *build(good, out, "--recipe", recipe))
    assert "backbon" in told.splitlines()[0] and "backbone" in told.splitlines()[1]


def test_flash_that_is_too_small(good: Path, out: Path, capfd: Any) -> None:
    usable("qemu_m4")
    argv = build(good, out, "--flash-budget", "28K", board="qemu_m4")
    told = fails(capfd, Exit.DOES_NOT_FIT, *argv)
    assert "flash is short by" in told and "bytes" in told


@pytest.mark.slow
def test_a_model_too_large_names_the_size_that_fits(good: Path, out: Path, capfd: Any) -> None:
    argv = ("build", "--board", "qemu_m4", "--data", good, "--out", out)
    model = ("--backbone", "mobilenet_v2", "--weights", "random", "--input", "224")
    error, hint = fails(capfd, Exit.DOES_NOT_FIT, *argv, *model, *PADIM).splitlines()
    assert "RAM is short by" in error and "bytes" in error
    assert hint == "hint: --input 160 fits"


# --- networks -------------------------------------------------------------------------------------


def small(tmp_path: Path, n_channels: int = 4) -> bytes:
    b = GraphBuilder(1, (1, 8, 8, 3))
    return write_tflite(b.graph(b.conv(b.input, n_channels)), "small")


@pytest.mark.parametrize("kept", [0, 3, 40, 200, 0.5, 0.9])
def test_a_network_that_is_cut_off(kept: float, tmp_path: Path, out: Path, capfd: Any) -> None:
    data = small(tmp_path)
    path = tmp_path / "cut.tflite"
    path.write_bytes(data[: kept if isinstance(kept, int) else int(len(data) * kept)])
    told = fails(capfd, Exit.INPUT, "compile", path, "--board", "host", "--out", out)
    assert "cut.tflite" in told


def test_a_network_that_is_not_there(tmp_path: Path, out: Path, capfd: Any) -> None:
    argv = ("compile", tmp_path / "none.tflite", "--board", "host", "--out", out)
    assert "none.tflite" in fails(capfd, Exit.INPUT, *argv)


@pytest.mark.slow
def test_a_network_too_large_for_the_board(tmp_path: Path, out: Path, capfd: Any) -> None:
    usable("qemu_m4")
    b = GraphBuilder(1, (1, 4, 4, 1024))
    path = tmp_path / "large.tflite"
    path.write_bytes(write_tflite(b.graph(b.conv(b.input, 1200, (1, 1))), "large"))
    argv = ("compile", path, "--board", "qemu_m4", "--out", out)
    told = fails(capfd, Exit.DOES_NOT_FIT, *argv)
    assert "flash" in told.lower() and "bytes" in told


# --- disks, and being stopped ---------------------------------------------------------------------


def _full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")


def _full_copy(*_: Any, **__: Any) -> Any:
    raise shutil.Error([("a", "b", f"[Errno 28] {os.strerror(errno.ENOSPC)}: 'a' -> 'b'")])


@pytest.mark.parametrize(
    ("place", "fault"),
    [
        ("vadgen.pipeline.backbone.save_arrays", _full),
        ("vadgen.pipeline.shipped.save_frozen", _full),
        ("vadgen.pipeline.builder.write_vectors", _full),
        ("vadgen.build.platformio.shutil.copytree", _full_copy),
        ("vadgen.pipeline.builder.write_manifest", _full),
    ],
)
def test_a_full_disk(
    place: str,
    fault: Any,
    good: Path,
    out: Path,
    tmp_path: Path,
    capfd: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "save_arrays" in place:  # else the features are in the cache already
        monkeypatch.setenv("VADGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(place, fault)
    assert "the disk is full" in fails(capfd, Exit.INPUT, *build(good, out))
    assert list((tmp_path / "cache").rglob("*partial*")) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission(good: Path, tmp_path: Path, capfd: Any) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    told = fails(capfd, Exit.INPUT, *build(good, locked / "out"))
    assert "cannot be written" in told and "--out" in told


def test_a_folder_that_no_build_wrote_is_kept(good: Path, tmp_path: Path, capfd: Any) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("dear", encoding="utf-8")
    assert "no build wrote it" in fails(capfd, Exit.INPUT, *build(good, mine))
    assert files(mine) == {"letter.txt": b"dear"}


class _Stopping(PlainProgress):
    """Raises KeyboardInterrupt at the first step that `stopped` does not hold, and adds it."""

    def __init__(self, stopped: list[str]) -> None:
        super().__init__(sys.stderr)
        self._stopped = stopped

    def step(self, title: str) -> None:
        if title not in self._stopped:
            self._stopped.append(title)
            raise KeyboardInterrupt
        super().step(title)


def test_stopped_in_every_step(
    tmp_path: Path, out: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = parts.write_good(tmp_path / "good", 13)  # no other test's, so nothing of it is cached
    stopped: list[str] = []
    monkeypatch.setattr(cli, "_progress", lambda: _Stopping(stopped))
    while cli.main([*map(str, build(good, out))]) == Exit.INTERRUPTED:
        assert capfd.readouterr().err.splitlines()[-2:] == [
            "error: interrupted",
            "hint: nothing half-written is left; the same command starts again",
        ]
        assert list(out.parent.iterdir()) == [], stopped
    assert [p.name for p in out.parent.iterdir()] == ["out"]
    shutil.rmtree(out)
    for title in ("Read", "Quantize", "Features", "Fit", "Plan", "Build the firmware", "Write"):
        assert any(step.startswith(title) for step in stopped), title


def test_stopped_while_compilers_run(good: Path, out: Path) -> None:
    """The signal goes to vadgen alone, as from a supervisor: what it started must end with it."""
    argv = [sys.executable, "-m", "vadgen", *map(str, build(good, out))]
    python = str(Path(vadgen.__file__).parents[1])
    with subprocess.Popen(
        argv,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": python},
        # A background job of a shell ignores SIGINT, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("Build the firmware"):
                break
        partial = next(out.parent.iterdir())
        while not (partial / "firmware" / ".pio" / "build").is_dir() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == Exit.INTERRUPTED
    assert rest.startswith("error: interrupted\n")


# --- the pieces -----------------------------------------------------------------------------------


def test_an_output_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with staged(out) as work:
        (work / MANIFEST).write_text("1", encoding="utf-8")
    rename = Path.rename

    def stopped(self: Path, target: Path) -> Path:
        if target == out and ".old" not in self.name:
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", stopped)
        with pytest.raises(KeyboardInterrupt), staged(out) as work:
            (work / MANIFEST).write_text("2", encoding="utf-8")
    assert files(tmp_path) == {f"out/{MANIFEST}": b"1"}
    with staged(out) as work:
        (work / MANIFEST).write_text("3", encoding="utf-8")
    assert files(tmp_path) == {f"out/{MANIFEST}": b"3"}


def test_cached_arrays_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    batches = [
        (rng.integers(-9, 9, (n, 2, 3), np.int8), rng.integers(0, 9, (n,), np.uint32))
        for n in (4, 4, 1)
    ]
    save_arrays(tmp_path, "tap", 9, iter(batches))
    loaded = load_arrays(tmp_path, "tap")
    for i, array in enumerate(loaded):
        assert np.array_equal(array, np.concatenate([b[i] for b in batches]))
        assert array.dtype == batches[0][i].dtype


def test_a_cache_entry_that_fails_is_not_kept(cache: Path, tmp_path: Path) -> None:
    def fails_half_way(folder: Path) -> None:
        (folder / "half").write_bytes(b"half")
        raise VadgenError("no", "no")

    with pytest.raises(VadgenError):
        cached("test", "0" * 64, fails_half_way)
    assert list((cache / "test").iterdir()) == []
    made = cached("test", "1" * 64, lambda folder: (folder / "a").touch())
    assert cached("test", "1" * 64, fails_half_way) == made
