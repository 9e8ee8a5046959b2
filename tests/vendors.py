"""Vendors' libraries for tests: the real ones where they are built, and stand-ins that always are.

A stand-in has the library's public declarations and computes what they promise in plain loops; it
checks what the adapters must keep to and spoils the memory that they lend it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from vadgen import paths
from vadgen.build.vendor import VENDORS, Vendor

VARIABLE = "VADGEN_TEST_VENDORS"
"""Names a folder with `<kernel set>/<board>/`, a library compiled for each board."""
_STUBS = Path(__file__).parent / "vendor_stubs"


def vendor(kernels: str) -> Vendor:
    """The library that a kernel set calls."""
    return next(vendor for vendor in VENDORS if vendor.kernels == kernels)


def real_library(kernels: str, board: str) -> Path:
    """The folder of the real library for a board, or a skip."""
    named = os.environ.get(VARIABLE)
    if not named:
        pytest.skip(f"{vendor(kernels).title} is not here ({VARIABLE})")
    folder = Path(named) / kernels / board
    if not folder.is_dir():
        pytest.skip(f"{VARIABLE} has no {kernels}/{board}")
    return folder


def stand_in(kernels: str, folder: Path, compiler: str = "gcc", flags: Sequence[str] = ()) -> Path:
    """Compiles the stand-in of a library into `folder`."""
    made, source = vendor(kernels), _STUBS / kernels
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "include").symlink_to(source / "include")
    includes = [source / "include", _STUBS, paths.firmware() / "lib/vad_core/include"]
    command = [compiler, *flags, "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    command += [*made.defines, *(f"-I{path}" for path in includes)]
    program = folder / "stub.o"
    subprocess.run([*command, "-c", source / "stub.c", "-o", program], check=True)
    archive = folder / f"lib{made.library}.a"
    subprocess.run(["ar", "rcs", archive, program], check=True)
    return folder
