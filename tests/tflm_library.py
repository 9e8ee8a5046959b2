"""A stand-in for a built TensorFlow Lite Micro: its folders, a library that knows one network."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from vadgen import paths
from vadgen.board import Board
from vadgen.build.tflm import ARCHIVE
from vadgen.emit.model import write_model
from vadgen.lower import lower
from vadgen.plan.planner import make_plan
from vadgen.quant.tflite_reader import read_tflite

STUB = Path(__file__).parent / "firmware" / "tflm"
DOWNLOADS = "tensorflow/lite/micro/tools/make/downloads"


def write_tree(tree: Path) -> Path:
    """The headers, where the library's own repository and its makefile have them."""
    shutil.copytree(STUB, tree, ignore=shutil.ignore_patterns("*.cc"))
    folder = tree / DOWNLOADS / "flatbuffers" / "include" / "flatbuffers"
    folder.mkdir(parents=True)
    (folder / "flatbuffers.h").write_text("#pragma once\n")
    return tree


def archive(folder: Path, objects: Sequence[Path], prefix: str = "") -> Path:
    """A library of objects in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ARCHIVE
    subprocess.run([f"{prefix}gcc-ar", "rcs", str(path), *map(str, objects)], check=True)
    return path


def compile_empty(path: Path, prefix: str, flags: Sequence[str]) -> Path:
    """An object that says what it was made for."""
    source = path.with_suffix(".c")
    source.write_text("float vad_nothing(float x) { return x; }\n")
    command = [f"{prefix}gcc", *flags, "-c", str(source), "-o", str(path)]
    subprocess.run(command, check=True)
    return path


def add_library(tree: Path, board: Board, tflite: bytes, *flags: str) -> Path:
    """Compiles the stand-in for one network and a board; returns the library's folder."""
    work = tree / "gen" / board.id / "obj"
    work.mkdir(parents=True)
    write_model(work, make_plan(lower(read_tflite(tflite)), ("portable",)), "a test", prefix="fake")
    lib = paths.firmware() / "lib"
    sources = [*work.glob("*.c"), STUB / "library.cc"]
    for library, part in (("vad_core", ""), ("vad_kernels", "portable")):
        sources += sorted((lib / library / "src" / part).glob("*.c"))
    folders = [work, tree, tree / DOWNLOADS / "flatbuffers" / "include"]
    folders += [lib / name / "include" for name in ("vad_core", "vad_kernels")]
    assert board.toolchain is not None
    prefix = board.toolchain.prefix
    objects = []
    for source in sources:
        objects.append(work / f"{source.stem}.o")
        own = ["-std=c++17", "-fno-exceptions", "-fno-rtti"] if source.suffix == ".cc" else []
        compiler = f"{prefix}g++" if own else f"{prefix}gcc"
        options = [*board.toolchain.flags, "-O2", *own, *flags, *(f"-I{f}" for f in folders)]
        subprocess.run([compiler, *options, "-c", str(source), "-o", str(objects[-1])], check=True)
    archive(work.parent / "lib", objects, prefix)
    return work.parent / "lib"
