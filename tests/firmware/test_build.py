"""`build` and `compile` from end to end: a tiny network on every board whose tools are here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import parts
import pytest
from firmware_model import usable
from graphs import GraphBuilder
from PIL import Image
from verbs import CFA, PADIM, PATCHCORE, QUANTIZED, STUDENT, TINY, fails, files, run_json

from vadgen.board import list_boards, load_board
from vadgen.errors import Exit
from vadgen.pipeline.shipped import load_shipped
from vadgen.quant.tflite_writer import write_tflite

pytestmark = pytest.mark.usefixtures("cache")

EMULATED = [name for name in list_boards() if load_board(name).emulator is not None]
OTHER_MACHINE = "--board", "esp32s3"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parts.write_labelled(tmp_path_factory.mktemp("data"))


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A residual block, a pool and a classifier, as an int8 `.tflite`."""
    b = GraphBuilder(3, (1, 12, 10, 3))
    x = b.conv(b.input, 8, (3, 3), (2, 2), activation="RELU6")
    x = b.add(x, b.conv(b.depthwise(x, (3, 3), activation="RELU6"), 8))
    head = b.softmax(b.fully_connected(b.mean(b.pool(x, average=False), keep_dims=False), 5))
    path = tmp_path / "small.tflite"
    path.write_bytes(write_tflite(b.graph(x, head), "small"))
    return path


@pytest.fixture
def no_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer without PlatformIO's platforms and without a way to them."""
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path / "platformio"))
    monkeypatch.setattr("vadgen.build.platformio._registry_answers", lambda: False)


def check_result(result: dict[str, Any], board: str) -> None:
    """Keys and types that other programs rely on."""
    assert result["board"] == board
    assert list(result["parity"])[:2] == ["host", "emulator"]
    for key in ("flash_bytes", "ram_bytes", "model_bytes", "instructions"):
        assert isinstance(result[key], int) and result[key] > 0, key
    assert all(isinstance(n, int) for n in result["instructions_by"].values())
    assert isinstance(result["seconds"], float)
    assert Path(result["out"]).is_absolute() or Path(result["out"]).exists()


def check_build(board: str, detector: tuple[str, ...], data: Path, out: Path, capfd: Any) -> None:
    usable(board)
    common = ("build", "--board", board, "--data", data, *TINY, *detector)
    result = run_json(capfd, *common, "--out", out)
    check_result(result, board)
    assert all(state is True for state in result["parity"].values()), result["parity_by"]
    assert result["parity_by"]["emulator"] == dict.fromkeys(
        ("taps", "cells", "score", "decision"), True
    )
    assert set(result["instructions_by"]) == {"backbone", "detector"}
    assert sum(result["instructions_by"].values()) == result["instructions"]
    search = result["search_instructions"]
    has_bank = detector in (PATCHCORE, QUANTIZED)
    assert list(search) == (["patches", "tables", "scan"] if has_bank else [])
    if search:
        assert sum(search.values()) == result["instructions_by"]["detector"]
        assert search["patches"] > 0 and search["scan"] > 0
        assert (search["tables"] > 0) == (detector is QUANTIZED)
    for kind in ("int8", "float"):
        figures = result["metrics"][kind]
        assert {"image_auroc", "pixel_auroc", "image_f1", "aupro"} <= set(figures)
        assert figures["image_auroc"] == 1.0
    assert 0 < result["threshold"] < 1 << 32

    verified = run_json(capfd, "verify", out)
    assert all(state is True for state in verified["parity"].values())
    assert verified["parity"]["emulator"] is True

    photos = [data / "test" / "spot" / "000.png", data / "test" / "good" / "000.png"]
    answers = [
        run_json(capfd, "infer", out, *photos, "--on", on, "--map", out.parent / f"maps-{on}")
        for on in ("reference", "host", "emulator")
    ]
    decided = [[(i["score"], i["is_anomalous"]) for i in a["images"]] for a in answers]
    assert decided[0] == decided[1] == decided[2]
    assert decided[0][0][0] > decided[0][1][0]
    maps = [files(out.parent / f"maps-{on}") for on in ("reference", "host", "emulator")]
    assert len(maps[0]) == 2
    assert maps[0] == maps[1] == maps[2]

    evaluated = run_json(capfd, "evaluate", out, "--data", data)
    assert evaluated["metrics"]["int8"] == result["metrics"]["int8"]
    sizes = run_json(capfd, "size", out)
    assert sizes["flash_bytes"] == result["flash_bytes"] == sum(sizes["flash_by"].values())
    assert sizes["ram_bytes"] == sum(sizes["ram_by"].values()) > result["ram_bytes"]
    stack, manifest = sizes["stack"], json.loads((out / "manifest.json").read_text())
    assert 400 < stack["painted"] <= stack["bound"] < stack["set_aside"] == 4096
    assert sizes["heap"] == manifest["heap"] == [] and manifest["stack"] == stack
    report = (out / "report.html").read_text(encoding="utf-8")
    assert f"{stack['painted']:,} bytes used, {stack['bound']:,} at most" in report
    assert "a heap that are linked: none" in report
    if detector is not QUANTIZED:
        check_bank(detector is PATCHCORE, sizes, out, capfd)

    again = out.with_name("again")
    run_json(capfd, *common, "--out", again)
    assert files(again) == files(out)


def check_bank(is_there: bool, sizes: dict[str, Any], out: Path, capfd: Any) -> None:
    """The ledger of the memory bank: 40 rows of int8."""
    assert ("bank" in sizes) == is_there
    if not is_there:
        assert "no memory bank" in fails(capfd, Exit.INPUT, "size", out, "--codes", "40")
        return
    bank = sizes["bank"]
    assert bank["flash_bytes"] == sum(bank["flash_by"].values()) == 40 * bank["dims"]
    assert sizes["flash_by"]["tables"] >= bank["flash_bytes"]
    assert bank["float_bytes"] == 4 * bank["flash_bytes"] < bank["python_float_bytes"]
    assert "Memory bank" in (out / "report.html").read_text(encoding="utf-8")
    told = run_json(capfd, "size", out, "--codes", "40,80")["banks"]
    assert told[0] == bank
    assert told[1]["flash_bytes"] == 2 * bank["flash_bytes"]
    assert "flat" in fails(capfd, Exit.INPUT, "size", out, "--candidates", "3")
    assert "500,1000" in fails(capfd, Exit.INPUT, "size", out, "--codes", "none")


@pytest.mark.parametrize(("board", "detector"), [("qemu_m7", PADIM), ("qemu_m4", PATCHCORE)])
def test_a_build_and_all_that_is_done_with_it(
    board: str, detector: tuple[str, ...], data: Path, tmp_path: Path, capfd: Any
) -> None:
    check_build(board, detector, data, tmp_path / "out", capfd)


@pytest.mark.parametrize(
    "detector",
    [
        PADIM,
        PATCHCORE,
        pytest.param((*PADIM, "--variant", "full"), marks=pytest.mark.slow),
        pytest.param(STUDENT, marks=pytest.mark.slow),
    ],
)
def test_a_region_of_interest(
    detector: tuple[str, ...], data: Path, tmp_path: Path, capfd: Any
) -> None:
    """The same bytes everywhere, nothing scored outside, fewer instructions and smaller tables."""
    usable("qemu_m4")
    mask = np.zeros((20, 30), np.uint8)
    mask[:10] = 255
    roi = parts.save(tmp_path / "roi.png", mask)
    common = ("build", "--board", "qemu_m4", "--data", data, *TINY, *detector)
    result = run_json(capfd, *common, "--out", tmp_path / "out", "--roi", roi)
    assert all(state is True for state in result["parity"].values()), result["parity_by"]
    assert any("stretched over pictures of 40x40" in note for note in result["notes"])
    cells = load_shipped(tmp_path / "out").detector.inside
    assert cells[: len(cells) // 2].all() and not cells[len(cells) // 2 :].any()
    photo = data / "test" / "good" / "000.png"
    run_json(capfd, "infer", tmp_path / "out", photo, "--map", tmp_path / "maps")
    drawn = np.asarray(Image.open(tmp_path / "maps" / "000.png"))
    assert (np.ptp(drawn[16:].astype(int), axis=-1) == 0).all() and np.ptp(drawn[:16], -1).any()
    if detector == PADIM:
        whole = run_json(capfd, *common, "--out", tmp_path / "whole")
        counts = [r["instructions_by"]["detector"] for r in (whole, result)]
        tables = [r["flash_by"]["tables"] for r in (whole, result)]
        assert counts[1] < 0.6 * counts[0] and tables[1] < 0.6 * tables[0]


def test_teacher_and_student_on_a_board(data: Path, tmp_path: Path, capfd: Any) -> None:
    """The shared layers stand in the `.tflite` once; teacher and student wait for each other."""
    usable("qemu_m7")
    common = ("build", "--board", "qemu_m7", "--data", data, *TINY)
    result = run_json(capfd, *common, *STUDENT, "--out", tmp_path / "paste")
    assert all(state is True for state in result["parity"].values()), result["parity_by"]
    assert result["parity_by"]["emulator"]["cells"] is True
    assert all(result["metrics"][kind]["image_auroc"] == 1.0 for kind in ("int8", "float"))
    # 6 of 12 pictures are kept from the training, whatever number the folds would need.
    assert (result["normals"], result["alpha"]) == (6, pytest.approx(1 / 7))
    shipped = load_shipped(tmp_path / "paste")
    assert len(shipped.program.outputs) == 4
    whole = run_json(
        capfd, *common, "--detector", "stfpm", "--epochs", "2", "--out", tmp_path / "o"
    )
    assert whole["model_bytes"] > result["model_bytes"]
    assert whole["instructions_by"]["backbone"] > result["instructions_by"]["backbone"]


def test_a_black_region_of_interest_is_an_error(data: Path, tmp_path: Path, capfd: Any) -> None:
    roi = parts.save(tmp_path / "roi.png", np.zeros((40, 40), np.uint8))
    common = ("build", "--board", "qemu_m4", "--data", data, *TINY, "--out", tmp_path / "out")
    assert "black all over" in fails(capfd, Exit.INPUT, *common, "--roi", roi)


@pytest.mark.slow
@pytest.mark.parametrize("board", EMULATED)
@pytest.mark.parametrize(
    "detector",
    [PADIM, PATCHCORE, QUANTIZED, STUDENT, CFA],
    ids=["padim", "flat", "quantized", "student", "cfa"],
)
def test_every_emulated_board_with_every_detector(
    board: str, detector: tuple[str, ...], data: Path, tmp_path: Path, capfd: Any
) -> None:
    check_build(board, detector, data, tmp_path / "out", capfd)


@pytest.mark.parametrize("board", [*EMULATED, "host"])
def test_compile_on_every_board(board: str, network: Path, tmp_path: Path, capfd: Any) -> None:
    usable(board)
    out = tmp_path / "out"
    result = run_json(capfd, "compile", network, "--board", board, "--out", out, "--explain")
    if board == "host":
        assert result["parity"] == {"host": True, "emulator": None}
        assert result["instructions"] is None
    else:
        assert result["parity"] == {"host": True, "emulator": True}
        check_result(result, board)
    assert isinstance(result["io_bytes"], int)
    assert result["model_bytes"] == network.stat().st_size
    assert len(result["explain"]["rows"]) >= 7
    verified = run_json(capfd, "verify", out)
    assert all(state is True for state in verified["parity"].values())
    assert ("emulator" in verified["parity"]) == (board != "host")


def test_compile_within_budgets(network: Path, tmp_path: Path, capfd: Any) -> None:
    usable("qemu_m4")
    argv = ("compile", network, "--board", "qemu_m4", "--out", tmp_path / "out")
    result = run_json(capfd, *argv, "--flash-budget", "24K", "--ram-budget", "16K")
    assert (result["flash_budget"], result["ram_budget"]) == (24 * 1024, 16 * 1024)
    told = fails(capfd, Exit.DOES_NOT_FIT, *argv, "--ram-budget", "4K")
    assert "RAM" in told
    assert "512K" in fails(capfd, Exit.INPUT, *argv, "--flash-budget", "much")


def test_the_hosts_program_is_compared_too(data: Path, tmp_path: Path, capfd: Any) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    for folder, codes in ((out, 40), (other, 39)):
        argv = ("build", "--board", "host", "--data", data, *TINY, *PATCHCORE, "--codes", codes)
        assert run_json(capfd, *argv, "--out", folder)["parity"]["host"] is True
    assert run_json(capfd, "verify", out, "--on", "host")["parity"]["host"] is True
    shutil.copy(other / "firmware.elf", out / "firmware.elf")
    verified = run_json(capfd, "verify", out, "--on", "host", code=Exit.PARITY)
    assert verified["parity"] == {"reference": True, "tflm": True, "host": False}
    (out / "firmware.elf").unlink()
    assert "firmware.elf" in fails(capfd, Exit.INPUT, "verify", out, "--on", "host")


# --- boards whose tools are on some other machine -------------------------------------------------


@pytest.mark.usefixtures("no_registry")
def test_without_the_platform_all_but_the_firmware_is_made(
    data: Path, tmp_path: Path, capfd: Any
) -> None:
    outs = [tmp_path / "a", tmp_path / "b"]
    common = ("build", *OTHER_MACHINE, "--data", data, *TINY, *PADIM)
    result = run_json(capfd, *common, "--out", outs[0], code=Exit.TOOL_MISSING)
    assert result["parity"] == {"host": True, "emulator": None, "tflm": True}
    assert result["flash_bytes"] is None and result["instructions"] is None
    assert result["ram_bytes"] > 0
    told = fails(capfd, Exit.TOOL_MISSING, *common, "--out", outs[1])
    assert told.splitlines()[1].endswith(f"pio run -d {outs[1] / 'firmware'}")
    assert files(outs[0]) == files(outs[1])
    assert not any(b"partial-" in content for content in files(outs[0]).values())
    for name in ("manifest.json", "report.html", "model.tflite", "firmware/platformio.ini"):
        assert (outs[0] / name).is_file(), name
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
    assert run_json(capfd, "verify", outs[0])["parity"]["host"] is True
    assert "pio run -d" in fails(capfd, Exit.TOOL_MISSING, "size", outs[0])


@pytest.mark.usefixtures("no_registry")
def test_compile_without_the_platform(network: Path, tmp_path: Path, capfd: Any) -> None:
    out = tmp_path / "out"
    argv = ("compile", network, "--board", "nucleo_h743zi", "--out", out)
    result = run_json(capfd, *argv, code=Exit.TOOL_MISSING)
    assert result["parity"] == {"host": True, "emulator": None}
    assert result["needs_tool"]["command"] == f"pio run -d {out / 'firmware'}"
    assert (out / "firmware" / "generated" / "vad_model.c").is_file()


@pytest.mark.parametrize("program", ["qemu-system-arm", "arm-none-eabi-gcc"])
def test_a_missing_program_names_its_package(
    program: str, data: Path, tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vadgen.build import tools

    which = shutil.which
    monkeypatch.setattr("shutil.which", lambda name: None if name == program else which(name))
    tools.tool_is_here.cache_clear()
    out = tmp_path / "out"
    try:
        argv = ("build", "--board", "qemu_m7", "--data", data, *TINY, *PADIM, "--out", out)
        told = fails(capfd, Exit.TOOL_MISSING, *argv)
    finally:
        tools.tool_is_here.cache_clear()
    package = {t.program: t.package for t in load_board("qemu_m7").tools}[program]
    assert program in told.splitlines()[0]
    assert f"apt-get install {package}" in told.splitlines()[1]
    assert (out / "manifest.json").is_file()
