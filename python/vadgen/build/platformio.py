"""The firmware project of a build, and PlatformIO, which compiles it.

Boards of the in-project platform need no registry: the compilers are the system's, and SCons is the
one of this Python. Other boards use PlatformIO's own platforms from the user's PlatformIO folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from vadgen import paths
from vadgen.board import Board
from vadgen.build.tflm import DEFINES, Library, copy_library
from vadgen.build.tools import require_tools
from vadgen.build.vendor import VENDORS, components_of, linked_by, vendors_of
from vadgen.errors import Exit, VadgenError

EXTERNAL = ".ext_ram.bss"
"""ESP-IDF's section for variables in PSRAM."""

TFLM_REGISTRY = "spaziochirale/Chirale_TensorFLowLite@^2.0.0"
TFLM_COMPONENT = ("espressif/esp-tflite-micro", ">=1.3.5,<2.0.0")
"""TensorFlow Lite Micro in PlatformIO's registry, and Espressif's in that of ESP-IDF."""

_REGISTRY_SECONDS = 5.0
_BUILD_SECONDS = 3600
_LEAST_FREE = 1 << 20  # bytes; not every tool says why it cannot write
_ERROR = re.compile(r"\berror:|undefined reference|/ld: |Error:")


def create_project(
    out: Path, board: Board, generated: Path, tflm: Library | None = None, program: str = "src"
) -> Path:
    """Writes the self-contained project `out/firmware`; the same inputs give the same bytes.

    Args:
        out: folder of the build.
        board: what the firmware is for.
        generated: folder with the generated `*.c`, `*.h` and, for TFLM, `*.cc`.
        tflm: the library behind a `*.cc`; None leaves it to the board's registry.
        program: folder in `firmware/` with the program around the model.

    Returns:
        The project's folder. What was in it before is gone.
    """
    source, project = paths.firmware(), out / "firmware"
    shutil.rmtree(project, ignore_errors=True)
    shutil.copytree(source / program, project / "src")
    (project / "generated").mkdir()
    for path in sorted(p for p in generated.iterdir() if p.suffix in (".c", ".h", ".cc")):
        shutil.copy(path, project / "generated" / path.name)
    idle = {vendor.folder for vendor in VENDORS} - {v.folder for v in vendors_of(board)}
    libraries = {path.name for path in (source / "lib").iterdir() if path.is_dir()}
    for library in sorted(libraries - idle):
        keep = {"vad_kernels": board.kernels, "vad_port": (board.port,)}.get(library)
        _copy_library(source / "lib" / library, project / "lib" / library, keep)
    glue = sorted((project / "generated").glob("*.cc"))
    if tflm is not None:
        for path in glue:
            copy_library(tflm, board, path, project)
    if board.is_in_project:
        shutil.copytree(
            source / "platform", project / "platform", ignore=shutil.ignore_patterns("__pycache__")
        )
        (project / "boards").mkdir()
        manifest = json.dumps(_board_manifest(board), indent=2) + "\n"
        (project / "boards" / f"{board.id}.json").write_text(manifest, encoding="utf-8")
    if board.platformio.framework:
        shutil.copytree(source / board.platformio.framework, project, dirs_exist_ok=True)
    components = [(vendor.component, vendor.version) for vendor in components_of(board)]
    components += [TFLM_COMPONENT] if glue and board.platformio.framework == "espidf" else []
    if components:
        lines = ["dependencies:", *(f'  {name}: "{version}"' for name, version in components), ""]
        (project / "src" / "idf_component.yml").write_text("\n".join(lines), encoding="utf-8")
    if any(region.section == EXTERNAL for region in board.data_regions):
        names = [source / folder / "sdkconfig.defaults" for folder in ("espidf", "espidf_psram")]
        text = "\n".join(path.read_text(encoding="utf-8") for path in names)
        (project / "sdkconfig.defaults").write_text(text, encoding="utf-8")
    text = _platformio_ini(board, bool(glue), tflm is not None)
    (project / "platformio.ini").write_text(text, encoding="utf-8")
    return project


def build_project(project: Path, board: Board) -> Path:
    """Compiles the project with PlatformIO.

    Returns:
        The firmware's ELF file.

    Raises:
        VadgenError: TOOL_MISSING for a compiler, PlatformIO platform or library that is not here;
            DOES_NOT_FIT when the linker runs out of memory; else the compiler's first errors.
    """
    require_tools(board)
    for vendor in linked_by(board):
        vendor.find()
    if not board.is_in_project:
        _require_platform(project, board)
    command = [sys.executable, "-m", "platformio", "run", "-d", str(project), "-e", board.id]
    try:
        code, output = _run_group(command, _environment(project, board))
    except subprocess.TimeoutExpired:
        raise VadgenError(
            f"PlatformIO did not finish in {_BUILD_SECONDS} s", f"try: {_command(project)}"
        ) from None
    elf = project / ".pio" / "build" / board.id / "firmware.elf"
    if code or not elf.is_file():
        raise _build_error(project, output)
    return elf


def platform_is_installed(board: Board) -> bool:
    """Whether PlatformIO's own platform of the board, in its version, is in the user's folder.

    Always true for the in-project platform.
    """
    if board.is_in_project:
        return True
    name, _, version = board.platformio.platform.partition("@")
    for manifest in sorted(platforms_dir().glob(f"{name}*/platform.json")):
        try:
            facts = json.loads(manifest.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if facts.get("name") == name and facts.get("version") == version:
            return True
    return False


def linker_symbols(board: Board) -> dict[str, int]:
    """The memory map as our linker scripts take it; empty for a board without one."""
    flash, ram, vectors = (board.region(name) for name in ("flash", "ram", "vectors"))
    if flash is None or ram is None:
        return {}
    return {
        "vad_vectors_origin": vectors.origin if vectors else flash.origin,
        "vad_flash_origin": flash.origin,
        "vad_flash_size": flash.size,
        "vad_ram_origin": ram.origin,
        "vad_ram_size": ram.size,
        "vad_stack_size": board.stack_bytes,
        **_placed(board),
    }


def _placed(board: Board) -> dict[str, int]:
    """Ranges of the sections that buffers are placed in; empty ones where the board has none."""
    regions = {region.section: region for region in board.data_regions}
    symbols = {}
    for section in ("vad_fast", "vad_more"):
        region = regions.get(f".{section}")
        symbols[f"{section}_origin"] = region.origin if region else 0
        symbols[f"{section}_size"] = region.size if region else 0
    return symbols


def _copy_library(source: Path, target: Path, keep: tuple[str, ...] | None) -> None:
    """Copies a library; with `keep`, of the folders in its `src` only those."""

    def left_out(folder: str, names: list[str]) -> list[str]:
        if keep is None or Path(folder) != source / "src":
            return []
        return [name for name in names if (source / "src" / name).is_dir() and name not in keep]

    shutil.copytree(source, target, ignore=left_out)


def _board_manifest(board: Board) -> dict[str, Any]:
    """The board as PlatformIO and `platform/builder/main.py` read it."""
    toolchain = board.toolchain
    assert toolchain is not None
    return {
        "name": board.title,
        "vendor": "vadgen",
        "url": "",
        "build": {
            "mcu": board.core,
            "prefix": toolchain.prefix,
            "flags": list(toolchain.flags),
            "link_flags": list(toolchain.link_flags),
            "startup": toolchain.startup,
            "symbols": linker_symbols(board),
        },
        "upload": {"maximum_size": board.flash_bytes, "maximum_ram_size": board.ram_bytes},
    }


def _platformio_ini(board: Board, tflm: bool, in_folder: bool) -> str:
    """The project's configuration.

    Args:
        board: what it is for.
        tflm: the network runs on TensorFlow Lite Micro.
        in_folder: whose library lies in the project.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(paths.templates()),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    flags = list(DEFINES) if tflm else []
    if in_folder:
        flags += ["-isystem tflm/include", "-Ltflm -ltensorflow-microlite -lm"]
    is_registered = tflm and not in_folder and board.platformio.framework != "espidf"
    return environment.get_template("platformio.ini.j2").render(
        board=board,
        symbols=linker_symbols(board),
        linked=linked_by(board),
        flags=flags,
        lib_deps=TFLM_REGISTRY if is_registered else "",
    )


def _run_group(command: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Exit code and output; when it is stopped, the compilers it started end with it."""
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=_BUILD_SECONDS)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()  # until the last of them has closed its end
            raise
    return process.returncode, output


def _environment(project: Path, board: Board) -> dict[str, str]:
    environment = dict(os.environ)
    environment |= {vendor.variable: str(vendor.find()) for vendor in linked_by(board)}
    environment |= {
        "PLATFORMIO_DISABLE_UPGRADE_CHECK": "true",
        "PLATFORMIO_NO_ANSI": "true",
        "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
        "PLATFORMIO_WORKSPACE_DIR": str(project / ".pio"),
    }
    if board.is_in_project:
        environment["PLATFORMIO_CORE_DIR"] = str(project / ".pio" / "core")
    return environment


def _command(project: Path) -> str:
    return f"pio run -d {project}"


def platforms_dir() -> Path:
    """Where PlatformIO keeps the platforms that are installed."""
    given = os.environ.get("PLATFORMIO_CORE_DIR")
    return (Path(given) if given else Path.home() / ".platformio") / "platforms"


def _require_platform(project: Path, board: Board) -> None:
    """Raises TOOL_MISSING unless the platform is installed or PlatformIO's registry answers."""
    if platform_is_installed(board) or _registry_answers():
        return
    raise VadgenError(
        f"PlatformIO's platform {board.platformio.platform} is not installed and its registry "
        "does not answer",
        f"finish on a machine that has it: {_command(project)}",
        Exit.TOOL_MISSING,
    )


def _registry_answers() -> bool:
    """Whether any mirror of PlatformIO's registry answers within a few seconds."""
    import http.client
    import urllib.error
    import urllib.request

    from platformio import __registry_mirror_hosts__ as hosts

    found = threading.Event()

    def ask(host: str) -> None:
        try:
            urllib.request.urlopen(f"https://{host}/", timeout=_REGISTRY_SECONDS).close()
        except urllib.error.HTTPError:
            pass  # an answer, if not the page
        except (OSError, http.client.HTTPException):
            return
        found.set()

    # Threads, because the look-up of a name has no time-out of its own.
    threads = [threading.Thread(target=ask, args=(host,), daemon=True) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_REGISTRY_SECONDS)
    return found.is_set()


def _build_error(project: Path, output: str) -> VadgenError:
    overflow = re.search(r"region `(\w+)' overflowed by (\d+) bytes", output)
    if overflow:
        return VadgenError(
            f"the firmware does not fit: {overflow[1]} overflows by {int(overflow[2]):,} bytes",
            "a smaller --input or fewer channels need less",
            Exit.DOES_NOT_FIT,
        )
    if "No space left" in output or shutil.disk_usage(project).free < _LEAST_FREE:
        return VadgenError("the disk is full: PlatformIO cannot write", "make room there")
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.search(line) and "collect2" not in line]
    shown = " | ".join(dict.fromkeys(errors[:3] or lines[-3:]))
    return VadgenError(f"PlatformIO could not build: {shown}", f"see more: {_command(project)}")
