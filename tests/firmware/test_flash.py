"""`flash`: the real esptool against a mock boot loader, the real GDB against QEMU's stub."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from firmware_model import MODEL, Build, usable
from verbs import fails, run_json

from vadgen.board import load_board
from vadgen.build import flashing
from vadgen.build.emulator import qemu_command, request_of, serving
from vadgen.build.platformio import create_project
from vadgen.errors import Exit
from vadgen.link.device import Device
from vadgen.link.frames import FrameReader
from vadgen.link.messages import Result, SelfTested, Want
from vadgen.pipeline import attached
from vadgen.pipeline.manifest import write_manifest

Mock = Callable[[str], str]


def output(folder: Path, board: str, elf: Path | None = None) -> Path:
    """What a build for the board leaves, as far as `flash` needs it."""
    out = folder / board
    out.mkdir()
    create_project(out, load_board(board), MODEL)
    flash = load_board(board).flash
    for i, name in enumerate(flash.places if flash is not None else ()):
        (out / "flash").mkdir(exist_ok=True)
        content = np.random.default_rng(i).integers(0, 256, 5000 + 999 * i, np.uint8)
        (out / "flash" / name).write_bytes(content.tobytes())
    if elf is not None:
        shutil.copy(elf, out / "firmware.elf")
    write_manifest(out, "build", {"board": board})
    return out


@pytest.fixture
def mock() -> Iterator[Mock]:
    """Starts boot loaders of a chip; returns their ports."""
    module = pytest.importorskip("esp32_mock_bootloader")
    started: list[Any] = []

    def start(chip: str) -> str:
        started.append(module.mock_bootloader(chip))
        return str(started[-1].url())

    yield start
    for handle in started:
        handle.stop()


@pytest.fixture
def no_port() -> str:
    """An address where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize("chip", ["esp32s3", "esp32c3"])
def test_esptool_writes_every_image(chip: str, mock: Mock, tmp_path: Path, capfd: Any) -> None:
    out = output(tmp_path, chip)
    port = mock(chip)
    result = run_json(capfd, "flash", out, "--port", port, "--no-check")
    assert [(b["port"], b["method"], b["error"]) for b in result["flashed"]] == [
        (port, "esptool", None)
    ]
    places = load_board(chip).flash.places
    for name, at in places.items():
        image = (out / "flash" / name).read_bytes()
        back = tmp_path / "back.bin"
        read = ["read-flash", hex(at), str(len(image)), str(back)]
        tool = [sys.executable, "-m", "esptool", "--chip", chip, "--port", port, "--no-stub"]
        subprocess.run([*tool, *read], check=True, capture_output=True)
        assert back.read_bytes() == image


def test_several_boards_and_one_that_is_not_there(
    mock: Mock, no_port: str, tmp_path: Path, capfd: Any
) -> None:
    out = output(tmp_path, "esp32c3")
    ports = [mock("esp32c3"), f"socket://{no_port}", mock("esp32c3")]
    argv = ("flash", out, "--no-check", "--ports", ",".join(ports))
    result = run_json(capfd, *argv, code=Exit.INPUT)
    assert [bool(board["error"]) for board in result["flashed"]] == [False, True, False]
    assert "nothing answers" in result["flashed"][1]["error"]


def test_esptool_refuses_another_chip(mock: Mock, tmp_path: Path, capfd: Any) -> None:
    out = output(tmp_path, "esp32c3")
    assert "esptool could not flash" in fails(
        capfd, Exit.INPUT, "flash", out, "--port", mock("esp32s3")
    )


def test_firmware_of_something_else_is_refused(no_port: str, tmp_path: Path, capfd: Any) -> None:
    out = output(tmp_path, "esp32c3")
    argv = ("flash", out, "--port", f"socket://{no_port}")
    image = out / "flash" / "firmware.bin"
    image.write_bytes(image.read_bytes()[:-1] + b"x")
    assert "is not what the build wrote" in fails(capfd, Exit.INPUT, *argv)
    image.unlink()
    assert "is missing" in fails(capfd, Exit.INPUT, *argv)


def test_ports_that_are_not_there(no_port: str, tmp_path: Path, capfd: Any) -> None:
    out = output(tmp_path, "esp32s3")
    said = fails(capfd, Exit.INPUT, "flash", out, "--port", f"socket://{no_port}")
    assert "nothing answers" in said
    said = fails(capfd, Exit.INPUT, "flash", out, "--port", tmp_path / "ttyUSB0")
    assert "there is no port" in said
    assert "no port given" in fails(capfd, Exit.INPUT, "flash", out)


def test_what_is_not_compiled_is_not_flashed(mock: Mock, tmp_path: Path, capfd: Any) -> None:
    out = output(tmp_path, "esp32s3")
    shutil.rmtree(out / "flash")
    write_manifest(out, "build", {"board": "esp32s3"})
    said = fails(capfd, Exit.TOOL_MISSING, "flash", out, "--port", mock("esp32s3"))
    assert "is not compiled yet" in said and "pio run" in said


@pytest.fixture
def halted(tmp_path: Path, no_port: str) -> Iterator[Callable[[str], str]]:
    """Starts a board's emulator with empty memory, halted; returns its debug port."""
    started: list[subprocess.Popen[bytes]] = []

    def start(board: str) -> str:
        work = tmp_path / "emulated"
        work.mkdir()
        request = request_of(np.zeros((1, 8, 8, 3), np.uint8), Want.NOTHING, False)
        (work / "request.bin").write_bytes(request)
        command = qemu_command(Path("-"), load_board(board))[:-2]
        started.append(subprocess.Popen([*command, "-S", "-gdb", f"tcp:{no_port}"], cwd=work))
        host, _, number = no_port.partition(":")
        for _ in range(100):
            with contextlib.suppress(OSError):
                socket.create_connection((host, int(number))).close()
                break
            time.sleep(0.1)
        return f"gdb://{no_port}"

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("board", ["qemu_m4", "qemu_m7"])
def test_gdb_loads_compares_and_starts(
    board: str, halted: Callable[[str], str], build: Build, tmp_path: Path, capfd: Any
) -> None:
    usable(board)
    if not any(shutil.which(name) for name in ("gdb-multiarch", "arm-none-eabi-gdb")):
        pytest.skip("gdb-multiarch is not installed")
    out = output(tmp_path, board, build(board))
    port = halted(board)
    result = run_json(capfd, "flash", out, "--port", port)
    assert result["flashed"][0]["method"] == "gdb"
    response = tmp_path / "emulated" / "response.bin"
    for _ in range(100):
        said = FrameReader().take(response.read_bytes()) if response.exists() else []
        if any(isinstance(frame.message, Result) for frame in said):
            break
        time.sleep(0.1)
    else:
        pytest.fail("the firmware that was loaded does not answer")


def test_an_emulated_board_has_no_serial_port_to_flash(tmp_path: Path, capfd: Any) -> None:
    out = output(tmp_path, "qemu_rv32")
    said = fails(capfd, Exit.INPUT, "flash", out, "--port", "COM1")
    assert "no board that can be attached" in said and "gdb://" in said


def test_afterwards_the_board_is_asked(
    build: Build, tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another model, another board and wrong bytes are noticed; an emulated core stands in."""
    usable("qemu_m7")
    out = output(tmp_path, "esp32s3")
    monkeypatch.setattr(flashing, "flash_esptool", lambda *_: None)
    with serving(build("qemu_m7"), load_board("qemu_m7")) as served:
        argv = ("flash", out, "--port", served.port)
        assert "runs another model" in fails(capfd, Exit.INPUT, *argv)
        monkeypatch.setattr(attached, "model_digest", lambda _: b"\1\2\3" + bytes(29))
        assert "says it is by_hand, not esp32s3" in fails(capfd, Exit.INPUT, *argv)
        hello = Device.hello
        monkeypatch.setattr(Device, "hello", lambda d: replace(hello(d), board="esp32s3"))
        assert run_json(capfd, *argv)["flashed"][0]["self_test"] == [True, True]
        monkeypatch.setattr(
            Device, "self_test", lambda _, index: SelfTested(index, expected=1, digest=2, score=0)
        )
        assert "fails its self-test" in fails(capfd, Exit.PARITY, *argv)
