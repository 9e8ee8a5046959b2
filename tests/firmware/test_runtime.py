"""The second runtime: builds on a stand-in for TensorFlow Lite Micro, and on the user's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import parts
import pytest
from firmware_model import usable
from tflm_library import add_library, write_tree
from verbs import PADIM, PATCHCORE, TINY, fails, run_json

from vadgen.board import load_board
from vadgen.build.platformio import create_project
from vadgen.build.tflm import ARCHIVE, require_cxx
from vadgen.errors import Exit, VadgenError

pytestmark = pytest.mark.usefixtures("cache")

RUNNER = {"host": "host", "qemu_m7": "emulator"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parts.write_labelled(tmp_path_factory.mktemp("data"))


@pytest.fixture
def network(data: Path, tmp_path: Path, capfd: Any) -> bytes:
    """The network that every build of this file has."""
    out = tmp_path / "plain"
    run_json(capfd, "build", "--board", "host", "--data", data, *TINY, *PADIM, "--out", out)
    return (out / "model.tflite").read_bytes()


@pytest.fixture(scope="session")
def built() -> Path:
    """A real TensorFlow Lite Micro with libraries for this computer and for a Cortex-M7."""
    folder = os.environ.get("VADGEN_TFLM")
    if not folder:
        pytest.skip("no built TensorFlow Lite Micro (VADGEN_TFLM) is here")
    return Path(folder)


def usable_cxx(name: str) -> None:
    """Skips where the board's tools or its C++ compiler are not installed."""
    board = usable(name)
    try:
        require_cxx(board)
    except VadgenError as error:
        pytest.skip(error.message)


def check_build(
    board: str, tflm: Path, detector: tuple[str, ...], data: Path, out: Path, capfd: Any
) -> dict[str, Any]:
    common = ("--board", board, "--data", data, *TINY, *detector, "--out", out)
    result = run_json(capfd, "build", *common, "--runtime", "tflm", "--tflm", tflm)
    assert result["runtime"] == "tflm"
    runner = RUNNER[board]
    assert result["parity_by"][runner] == dict.fromkeys(
        ("taps", "cells", "score", "decision"), True
    )
    own, other = result["runtimes"]
    assert (own["runtime"], other["runtime"]) == ("vadgen", "tflm")
    assert other["flash_bytes"] == result["flash_bytes"] > 0
    assert other["arena_bytes"] == result["ram_by"]["arena"]
    assert result["flash_by"]["weights"] >= result["model_bytes"]
    assert result["instructions"] == other["instructions"]
    if board == "qemu_m7":
        assert set(other["instructions_by"]) == {"set-up", "network", "detector"}
        assert min(other["instructions_by"].values()) > 0
        assert own["instructions"] > own["instructions_by"]["detector"] > 0
    verified = run_json(capfd, "verify", out)
    assert verified["parity"][runner] is True and all(verified["parity"].values())
    assert "TensorFlow Lite Micro" in (out / "report.html").read_text(encoding="utf-8")
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["recipe"]["runtime"] == "tflm"
    assert len(manifest["recipe"]["tflm"]["sha256"]) == 64
    text = b"".join(p.read_bytes() for p in (out / "firmware").rglob("*") if p.is_file())
    assert str(tflm).encode() not in text
    return result


@pytest.mark.parametrize(("board", "detector"), [("host", PATCHCORE), ("qemu_m7", PADIM)])
def test_a_stand_in_takes_the_networks_place(
    board: str, detector: tuple[str, ...], network: bytes, data: Path, tmp_path: Path, capfd: Any
) -> None:
    usable_cxx(board)
    tree = write_tree(tmp_path / "tree")
    add_library(tree, load_board(board), network)
    out = tmp_path / "out"
    result = check_build(board, tree, detector, data, out, capfd)
    names = {p.name for p in (out / "firmware" / "tflm").rglob("*") if p.is_file()}
    assert {ARCHIVE, "micro_interpreter.h", "flatbuffers.h"} <= names
    assert f"{result['threshold']:,}" in (out / "report.html").read_text(encoding="utf-8")
    glue = (out / "generated" / "vad_model_network.cc").read_text()
    assert "MicroMutableOpResolver<" in glue and "resolver.AddConv2D();" in glue
    told = subprocess.run(
        [sys.executable, "-m", "vadgen", "size", str(out)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "arena" in told


def test_other_bytes_are_refused_and_the_operator_named(
    network: bytes, data: Path, tmp_path: Path, capfd: Any
) -> None:
    usable_cxx("host")
    tree = write_tree(tmp_path / "tree")
    add_library(tree, load_board("host"), network, "-DWRONG=1")
    common = ("build", "--board", "host", "--data", data, *TINY, *PADIM)
    out = tmp_path / "out"
    said = fails(capfd, Exit.PARITY, *common, "--out", out, "--runtime", "tflm", "--tflm", tree)
    assert "operator 0 (CONV_2D, " in said
    assert not out.exists()


@pytest.mark.parametrize("board", list(RUNNER))
def test_compile_measures_both(board: str, network: bytes, tmp_path: Path, capfd: Any) -> None:
    usable_cxx(board)
    (tmp_path / "net.tflite").write_bytes(network)
    common = ("compile", tmp_path / "net.tflite", "--board", board, "--out", tmp_path / "out")
    common += ("--runtime", "tflm")
    assert "--tflm DIR" in fails(capfd, Exit.TOOL_MISSING, *common)
    tree = write_tree(tmp_path / "tree")
    add_library(tree, load_board(board), network)
    result = run_json(capfd, *common, "--tflm", tree)
    own, other = result["runtimes"]
    assert (own["runtime"], other["runtime"]) == ("vadgen", "tflm")
    assert own["flash_bytes"] == result["flash_bytes"]
    assert 0 < own["arena_bytes"] != other["arena_bytes"] > 0
    if board == "qemu_m7":
        assert own["instructions"] == result["instructions"]
        assert set(other["instructions_by"]) == {"set-up", "network"}
        assert min(other["instructions_by"].values()) > 0
    add_library(write_tree(tmp_path / "wrong"), load_board(board), network, "-DWRONG=1")
    said = fails(capfd, Exit.PARITY, *common, "--tflm", tmp_path / "wrong")
    assert "operator 0 (CONV_2D, " in said


@pytest.mark.parametrize("detector", [PADIM, PATCHCORE], ids=["padim", "patchcore"])
@pytest.mark.parametrize("board", list(RUNNER))
def test_the_users_own_library(
    board: str, detector: tuple[str, ...], built: Path, data: Path, tmp_path: Path, capfd: Any
) -> None:
    usable_cxx(board)
    check_build(board, built, detector, data, tmp_path / "out", capfd)


@pytest.mark.parametrize("name", ["esp32s3", "esp32c3", "nucleo_h743zi", "stm32f405"])
def test_real_boards_have_it_from_a_registry(
    name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    """Nothing is compiled here; `pio project config` reads the project."""
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path / "platformio"))
    monkeypatch.setattr("vadgen.build.platformio._registry_answers", lambda: False)
    out = tmp_path / "out"
    common = ("build", "--board", name, "--data", data, *TINY, *PADIM, "--out", out)
    result = run_json(capfd, *common, "--runtime", "tflm", code=Exit.TOOL_MISSING)
    assert result["runtimes"] == [] and "estimate" in " ".join(result["notes"])
    project = out / "firmware"
    told = subprocess.run(
        [sys.executable, "-m", "platformio", "project", "config", "-d", str(project)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    component = project / "src" / "idf_component.yml"
    if load_board(name).platformio.framework == "espidf":
        assert 'esp-tflite-micro: ">=' in component.read_text()
        assert "lib_deps" not in told
    else:
        assert "Chirale_TensorFLowLite" in told and not component.exists()
    assert (project / "generated" / "vad_model_network.cc").is_file()


def test_a_project_without_it_has_none_of_it(tmp_path: Path) -> None:
    from firmware_model import MODEL

    project = create_project(tmp_path, load_board("nucleo_h743zi"), MODEL)
    assert not (project / "tflm").exists()
    assert "lib_deps" not in (project / "platformio.ini").read_text()
