"""This computer's C compiler: objects of the firmware's libraries are compiled once and kept."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vadgen import paths
from vadgen.board import Tool
from vadgen.build.tools import find_program, missing_error
from vadgen.errors import VadgenError

WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror")
_NATIVE = ("-march=native",) if platform.machine() in ("x86_64", "AMD64", "aarch64") else ()
FAST = ("-O3", *_NATIVE, "-fPIC")
SANITIZED = (
    *("-O1", "-g", "-fno-omit-frame-pointer"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)

_NO_LIBC = re.compile(
    r"error: std\w+\.h: No such file|cannot find (Scrt1\.o|crt1\.o|crti\.o|-lc)\b"
)


def gcc() -> str:
    """The compiler's path.

    Raises:
        VadgenError: TOOL_MISSING; names the Debian package.
    """
    return str(find_program("gcc", "gcc"))


@functools.cache
def identity(flags: tuple[str, ...] = FAST) -> str:
    """A digest of the compiler, its version and the processor that it compiles for."""
    command = [gcc(), *flags, "-dM", "-E", "-xc", os.devnull]
    return hashlib.sha256(run(command).encode()).hexdigest()


def run(command: Sequence[str]) -> str:
    """Runs the compiler; returns what it prints.

    Raises:
        VadgenError: its first error; TOOL_MISSING where the C library's headers are not installed.
    """
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return done.stdout
    if _NO_LIBC.search(done.stderr):
        raise missing_error([Tool("libc.a", "libc6-dev")])
    if "No space left on device" in done.stderr:
        raise VadgenError("the disk is full: the host compiler cannot write", "make room there")
    lines = done.stderr.split("\n")
    first = next((line for line in lines if "error" in line), lines[0] or "no message")
    raise VadgenError(
        f"the host compiler refused the generated C: {first}",
        "this is a defect of vadgen; please report it with the model",
    )


def library_objects(
    sources: Sequence[Path], includes: Sequence[Path], flags: Sequence[str]
) -> list[Path]:
    """Objects of hand-written sources, in the cache by the digest of all that they depend on.

    Raises:
        VadgenError: as `run`; the cache cannot be written.
    """
    headers = [h for folder in includes for h in sorted(folder.glob("*.h"))]
    headers += [
        h for folder in dict.fromkeys(s.parent for s in sources) for h in folder.glob("*.h")
    ]
    common = hashlib.sha256(repr((identity(tuple(flags)), tuple(flags))).encode())
    for header in headers:
        common.update(f"\0{header.name}\0".encode() + header.read_bytes())
    folder = paths.cache() / "objects"

    def compiled(source: Path) -> Path:
        digest = common.copy()
        digest.update(f"\0{source.name}\0".encode() + source.read_bytes())
        target = folder / f"{digest.hexdigest()[:32]}.o"
        if not target.exists():
            _compile(source, includes, flags, target)
        return target

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(processors()) as pool:
            return list(pool.map(compiled, sources))
    except OSError as error:
        raise VadgenError(
            f"the cache {folder} cannot be written: {error.strerror}",
            "set VADGEN_CACHE to a folder that can",
        ) from None


def compile_sources(
    sources: Sequence[Path], includes: Sequence[Path], flags: Sequence[str], folder: Path
) -> list[Path]:
    """Objects of generated sources, compiled anew into `folder`."""

    def compiled(source: Path) -> Path:
        target = folder / f"{source.stem}.o"
        _compile(source, includes, flags, target)
        return target

    with ThreadPoolExecutor(processors()) as pool:
        return list(pool.map(compiled, sources))


def link(objects: Sequence[Path], flags: Sequence[str], target: Path) -> Path:
    """Links objects into a program (or a library, with `-shared`) and moves it into place."""
    with tempfile.TemporaryDirectory(prefix=".link-", dir=target.parent) as name:
        linked = Path(name) / target.name
        run([gcc(), *flags, "-o", str(linked), *map(str, objects)])
        linked.replace(target)
    return target


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _compile(source: Path, includes: Sequence[Path], flags: Sequence[str], target: Path) -> None:
    """Written aside and moved, so that a compiler that is stopped leaves no half object."""
    with tempfile.TemporaryDirectory(prefix=".compile-", dir=target.parent) as name:
        written = Path(name) / target.name
        options = [*WARNINGS, *flags, *(f"-I{folder}" for folder in includes)]
        run([gcc(), *options, "-c", str(source), "-o", str(written)])
        written.replace(target)
