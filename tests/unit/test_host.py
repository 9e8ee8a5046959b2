"""Compiling for this computer: what is cached, what fails how, and a library that is run."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from graphs import GraphBuilder

from vadgen import paths
from vadgen.build import compiler
from vadgen.build.host import HostModel, compile_host
from vadgen.emit.model import write_model
from vadgen.errors import Exit, VadgenError
from vadgen.lower import Program, lower
from vadgen.plan.planner import make_plan
from vadgen.ref.program import run_program

PORTABLE = ("portable",)
QUICK = ("-O1", "-fPIC")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("VADGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "objects"


def generate(folder: Path, seed: int = 0) -> Program:
    """A convolution's code in a new folder."""
    b = GraphBuilder(seed, (1, 4, 5, 3))
    program = lower(b.graph(b.input, b.conv(b.input, 6, (3, 3))))
    folder.mkdir()
    write_model(folder, make_plan(program, PORTABLE), "test")
    return program


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-128, 128, (count, 4, 5, 3)).astype(np.int8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[HostModel, Program]:
    folder = tmp_path_factory.mktemp("host")
    program = generate(folder / "c")
    return HostModel(compile_host(folder / "c", folder / "m.so", PORTABLE, QUICK), program), program


@pytest.mark.parametrize("threads", [1, 3, 64])
def test_all_images_are_run_in_their_places(threads: int, model: tuple[HostModel, Program]) -> None:
    loaded, program = model
    batch = images(40)
    result = loaded.run(batch, threads=threads)
    assert result.cells is result.scores is result.decisions is None
    np.testing.assert_array_equal(result.outputs[0], batch)
    last = program.outputs[1]
    for image, output in zip(batch, result.outputs[1], strict=True):
        np.testing.assert_array_equal(run_program(program, image)[last], output)


def test_no_images_and_no_outputs(model: tuple[HostModel, Program]) -> None:
    loaded, _ = model
    assert [o.shape for o in loaded.run(images(0)).outputs] == [(0, 4, 5, 3), (0, 4, 5, 6)]
    assert loaded.run(images(2), want_outputs=False).outputs == ()


def test_strided_images(model: tuple[HostModel, Program]) -> None:
    loaded, _ = model
    batch = images(6)
    wanted = loaded.run(batch[::2]).outputs[1]
    np.testing.assert_array_equal(wanted, loaded.run(batch).outputs[1][::2])


def test_an_interrupt_leaves_the_rest(
    model: tuple[HostModel, Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, _ = model
    run: Callable[..., int] = loaded._run
    calls = []
    lock = threading.Lock()

    def interrupted(*arguments: object) -> int:
        with lock:
            calls.append(arguments)
            if len(calls) == 3:
                raise KeyboardInterrupt
        if len(calls) > 3:
            time.sleep(0.01)  # until the main thread has seen it
        return run(*arguments)

    monkeypatch.setattr(loaded, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loaded.run(images(5000), threads=2)
    assert len(calls) < 5000


def test_a_library_written_again_is_loaded_again(tmp_path: Path) -> None:
    """Even while the earlier one is still in use."""
    library = tmp_path / "m.so"
    results = []
    loaded = []
    for seed in (1, 2):
        program = generate(tmp_path / str(seed), seed)
        compile_host(tmp_path / str(seed), library, PORTABLE, QUICK)
        loaded.append(HostModel(library, program))
        results.append(run_program(program, images(1)[0])[program.outputs[1]])
    for model, wanted in zip(loaded, results, strict=True):
        np.testing.assert_array_equal(model.run(images(1)).outputs[1][0], wanted)


def test_library_objects_are_compiled_once(tmp_path: Path, cache: Path) -> None:
    generate(tmp_path / "c")
    compile_host(tmp_path / "c", tmp_path / "a.so", PORTABLE, QUICK)
    first = {p: p.stat().st_mtime_ns for p in cache.iterdir()}
    compile_host(tmp_path / "c", tmp_path / "b.so", PORTABLE, QUICK)
    assert {p: p.stat().st_mtime_ns for p in cache.iterdir()} == first
    lib = paths.firmware() / "lib"
    sources = [*lib.glob("vad_core/src/*.c"), *lib.glob("vad_kernels/src/portable/*.c")]
    assert len(first) == len(sources)
    compile_host(tmp_path / "c", tmp_path / "c.so", PORTABLE, (*QUICK, "-DOTHER=1"))
    assert len(list(cache.iterdir())) == 2 * len(first)


def test_an_object_depends_on_source_and_headers(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "include").mkdir()
    header, source = tmp_path / "include" / "value.h", tmp_path / "value.c"
    header.write_text("#define VALUE 1\n")
    source.write_text('#include "value.h"\nint value(void);\nint value(void) { return VALUE; }\n')

    def value() -> int:
        objects = compiler.library_objects([source], [header.parent], QUICK)
        library = compiler.link(objects, [*QUICK, "-shared"], tmp_path / f"{len(seen)}.so")
        seen.append(objects[0])
        return int(ctypes.CDLL(str(library)).value())

    seen: list[Path] = []
    assert value() == 1
    header.write_text("#define VALUE 2\n")
    assert value() == 2
    source.write_text(source.read_text().replace("VALUE;", "VALUE + 5;"))
    assert value() == 7
    header.write_text("#define VALUE 1\n")
    assert value() == 6
    assert len(set(seen)) == 4


def test_flags_and_processor_have_an_identity() -> None:
    assert compiler.identity(("-O1",)) != compiler.identity(("-O1", "-DX"))
    assert compiler.identity(("-O1",)) == compiler.identity(("-O1",))


def test_missing_compiler_names_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(tmp_path / "c")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(VadgenError) as caught:
        compile_host(tmp_path / "c", tmp_path / "m.so", flags=("-O0", "-DNO_COMPILER"))
    assert caught.value.code == Exit.TOOL_MISSING
    assert "apt-get install gcc" in caught.value.hint
    assert not (tmp_path / "m.so").exists()


def fake_gcc(folder: Path, says: str) -> None:
    (folder / "gcc").write_text(f'#!/bin/sh\necho "{says}" >&2\nexit 1\n')
    (folder / "gcc").chmod(0o755)


@pytest.mark.parametrize(
    ("says", "code", "part"),
    [
        ("x.c:1: fatal error: stdint.h: No such file or directory", Exit.TOOL_MISSING, "libc6-dev"),
        ("ld: cannot find Scrt1.o: No such file", Exit.TOOL_MISSING, "libc6-dev"),
        ("x.c:3: note\nx.c:4: error: mistake", Exit.INPUT, "x.c:4: error: mistake"),
        ("Fatal error: No space left on device", Exit.INPUT, "disk is full"),
        ("", Exit.INPUT, "no message"),
    ],
)
def test_what_the_compiler_says(
    says: str, code: Exit, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_gcc(tmp_path, says)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(VadgenError) as caught:
        compiler.run([compiler.gcc(), "x.c"])
    assert caught.value.code == code
    assert part in caught.value.message + caught.value.hint


def test_refused_code_leaves_no_library(tmp_path: Path) -> None:
    generate(tmp_path / "c")
    (tmp_path / "c" / "vad_model.c").write_text("int mistake = ;\n")
    library = tmp_path / "m.so"
    library.write_bytes(b"earlier")
    with pytest.raises(VadgenError, match="expected expression"):
        compile_host(tmp_path / "c", library, PORTABLE, QUICK)
    assert library.read_bytes() == b"earlier"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c", "m.so"]


def test_cache_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate(tmp_path / "c")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VADGEN_CACHE", str(tmp_path / "file"))
    with pytest.raises(VadgenError, match="cannot be written"):
        compile_host(tmp_path / "c", tmp_path / "m.so", PORTABLE, QUICK)
