"""The firmware project: self-contained, deterministic, understood by PlatformIO."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from firmware_model import MODEL, usable

from vadgen import paths
from vadgen.board import list_boards, load_board
from vadgen.build import platformio
from vadgen.errors import Exit, VadgenError

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror"]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".pio" not in path.parts
    }


@pytest.mark.parametrize("name", list_boards())
def test_project_is_self_contained_and_deterministic(name: str, tmp_path: Path) -> None:
    board = load_board(name)
    (tmp_path / "one" / "firmware").mkdir(parents=True)
    (tmp_path / "one" / "firmware" / "stale.c").write_text("#error stale")
    one = contents(platformio.create_project(tmp_path / "one", board, MODEL))
    two = contents(platformio.create_project(tmp_path / "two", board, MODEL))
    assert one == two
    assert {"platformio.ini", "src/main.c", "generated/vad_model.c"} <= set(one)
    ports = {path.split("/")[3] for path in one if path.startswith("lib/vad_port/src/")}
    assert {port for port in ports if "." not in port} == {board.port}
    kernels = {path.split("/")[3] for path in one if path.startswith("lib/vad_kernels/src/")}
    assert {kernel for kernel in kernels if "." not in kernel} <= set(board.kernels)
    assert any(path.startswith("platform/") for path in one) == board.is_in_project
    text = b"".join(one.values())
    assert str(tmp_path).encode() not in text and str(paths.firmware()).encode() not in text


@pytest.mark.parametrize("name", list_boards())
def test_platformio_understands_the_project(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from platformio.project.config import ProjectConfig

    project = platformio.create_project(tmp_path, load_board(name), MODEL)
    monkeypatch.chdir(project)
    config = ProjectConfig(str(project / "platformio.ini"))
    config.validate([name])
    assert config.default_envs() == [name]
    assert not getattr(config, "warnings", [])


@pytest.mark.parametrize("name", [n for n in list_boards() if not load_board(n).is_in_project])
def test_pio_project_config_passes(name: str, tmp_path: Path) -> None:
    """The real command, with a core folder of its own: it asks no registry."""
    board = load_board(name)
    project = platformio.create_project(tmp_path, board, MODEL)
    told = subprocess.run(
        [sys.executable, "-m", "platformio", "project", "config", "-d", str(project)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PLATFORMIO_CORE_DIR": str(tmp_path / "core")},
    ).stdout
    for said in (board.platformio.platform, board.platformio.board, board.platformio.framework):
        assert said in told


def test_psram_is_configured_where_buffers_may_lie_there(tmp_path: Path) -> None:
    text = {}
    for name in ("esp32s3", "esp32s3_n8r8"):
        project = platformio.create_project(tmp_path / name, load_board(name), MODEL)
        text[name] = (project / "sdkconfig.defaults").read_text()
    assert text["esp32s3_n8r8"].startswith(text["esp32s3"])
    assert "CONFIG_SPIRAM_ALLOW_BSS_SEG_EXTERNAL_MEMORY=y" in text["esp32s3_n8r8"]
    assert "SPIRAM" not in text["esp32s3"]


def test_ports_are_thin() -> None:
    """Under 200 lines each, and nothing of models or their arithmetic."""
    for path in (paths.firmware() / "lib" / "vad_port" / "src").rglob("*.[ch]"):
        text = path.read_text()
        included = set(re.findall(r'#include "([^"]+)"', text))
        assert len(text.splitlines()) < 200, path
        assert not {"vad_fixed.h", "vad_kernel.h", "vad_model.h"} & included, path


def test_firmware_is_the_same_from_any_folder(tmp_path: Path) -> None:
    board = usable("qemu_m4")
    hashes = set()
    for name in ("a", "another folder/with a longer name"):
        elf = platformio.build_project(
            platformio.create_project(tmp_path / name, board, MODEL), board
        )
        hashes.add(hashlib.sha256(elf.read_bytes()).hexdigest())
    assert len(hashes) == 1


def test_a_model_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    board = usable("qemu_m4")
    project = platformio.create_project(tmp_path, board, MODEL)
    header = project / "generated" / "vad_model.h"
    header.write_text(header.read_text().replace("ARENA_BYTES 4096", "ARENA_BYTES 131072"))
    with pytest.raises(VadgenError, match=r"RAM overflows by [\d,]+ bytes") as caught:
        platformio.build_project(project, board)
    assert caught.value.code is Exit.DOES_NOT_FIT


def test_compiler_errors_are_shown(tmp_path: Path) -> None:
    board = usable("host")
    project = platformio.create_project(tmp_path, board, MODEL)
    source = project / "generated" / "vad_model.c"
    source.write_text(source.read_text() + "\nint broken(void) { return nothing_of_the_kind; }\n")
    with pytest.raises(VadgenError, match="nothing_of_the_kind") as caught:
        platformio.build_project(project, board)
    assert caught.value.code is Exit.INPUT
    assert "pio run -d" in caught.value.hint


def test_a_platform_that_cannot_be_had_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path / "core"))
    monkeypatch.setattr(platformio, "_registry_answers", lambda: False)
    board = load_board("esp32s3")
    project = platformio.create_project(tmp_path / "out", board, MODEL)
    assert not platformio.platform_is_installed(board)
    with pytest.raises(VadgenError) as caught:
        platformio.build_project(project, board)
    assert caught.value.code is Exit.TOOL_MISSING
    assert board.platformio.platform in caught.value.message
    assert caught.value.hint.endswith(f"pio run -d {project}")


def test_an_installed_platform_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path))
    board = load_board("nucleo_h743zi")
    name, version = board.platformio.platform.split("@")
    manifest = tmp_path / "platforms" / name / "platform.json"
    manifest.parent.mkdir(parents=True)
    for text, found in (
        (f'{{"name": "{name}", "version": "{version}"}}', True),
        (f'{{"name": "{name}", "version": "0.0.1"}}', False),
        ("damaged", False),
    ):
        manifest.write_text(text)
        assert platformio.platform_is_installed(board) is found


def test_a_registry_out_of_reach_is_noticed_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    import platformio as core

    monkeypatch.setattr(core, "__registry_mirror_hosts__", ["127.0.0.1:9"])
    assert platformio._registry_answers() is False


COMPILED_FOR = {
    "emulated": ("qemu_m55", "qemu_rv32", "qemu_lx106"),
    "common": ("qemu_m55", "qemu_rv32", "qemu_lx106"),
    "cortex_m": ("qemu_m55",),
    "lx106": ("qemu_lx106",),
    "stm32": ("qemu_m4",),
}
"""Boards whose compiler takes the C of a folder; the host's takes that of all others."""


def sources() -> list[tuple[str, Path]]:
    """Our C that is compiled for boards, apart from the libraries that have tests of their own."""
    firmware = paths.firmware()
    folders = (firmware / "src", firmware / "lib" / "vad_port", firmware / "platform")
    found = sorted(path for folder in folders for path in folder.rglob("*.c"))
    return [(b, path) for path in found for b in COMPILED_FOR.get(path.parent.name, ("host",))]


@pytest.mark.parametrize(
    ("board", "source"),
    sources(),
    ids=lambda x: x if isinstance(x, str) else f"{x.parent.name}/{x.name}",
)
def test_c_compiles_without_a_warning(board: str, source: Path, tmp_path: Path) -> None:
    firmware, toolchain = paths.firmware(), usable(board).toolchain
    assert toolchain is not None
    flags = ["-std=c11", *toolchain.flags]
    if source.parent.name == "espidf":
        flags = ["-std=gnu11", f"-I{Path(__file__).parent / 'espidf_stubs'}"]
    elif source.parent.name == "stm32":
        flags += ["-DSTM32F405xx", f"-I{Path(__file__).parent / 'stm32_stubs'}"]
    includes = [MODEL, firmware / "platform/include", *firmware.glob("lib/*/include")]
    subprocess.run(
        [
            *(f"{toolchain.prefix}gcc", *flags, "-O2", *WARNINGS),
            *(f"-I{folder}" for folder in includes),
            *("-c", str(source), "-o", os.devnull),
        ],
        check=True,
    )
