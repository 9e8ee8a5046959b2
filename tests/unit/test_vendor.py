"""Kernel sets that call vendors' libraries: what they take and pack, how builds find these."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import CaseBuilder
from firmware_model import MODEL
from vendors import stand_in, vendor

from vadgen import paths
from vadgen.board import Board, list_boards, load_board, with_kernels
from vadgen.build import platformio
from vadgen.build.vendor import VENDORS, vendors_of
from vadgen.emit.model import write_model
from vadgen.errors import Exit, VadgenError
from vadgen.kernels import select
from vadgen.kernels.base import Array, Call
from vadgen.lower import Add, Conv2d, DepthwiseConv2d, Mul, Program, lower
from vadgen.plan.planner import make_plan

SETS = ("cmsis_nn", "esp_nn")


def calls(b: CaseBuilder, *outputs: int, kernels: str) -> list[Call]:
    program = lower(b.graph(*outputs))
    return [select(layer, program, (kernels, "portable")) for layer in program.layers]


def functions(b: CaseBuilder, *outputs: int, kernels: str) -> list[str]:
    return [call.function for call in calls(b, *outputs, kernels=kernels)]


@pytest.mark.parametrize("kernels", SETS)
def test_what_they_take(kernels: str) -> None:
    b = CaseBuilder(1, (1, 8, 8, 16))
    x = b.conv(b.input, 16, (3, 3), (2, 2), "SAME")
    x = b.depthwise(x, padding="SAME")
    x = b.add(x, b.conv(x, 16))
    x = b.mul_other(x)
    x = b.fully_connected(x, 10)
    names = {Conv2d: "conv2d", DepthwiseConv2d: "depthwise_conv2d", Add: "add", Mul: "mul"}
    program = lower(b.graph(x))
    assert {type(layer) for layer in program.layers} == set(names)
    for layer in program.layers:
        function = select(layer, program, (kernels, "portable")).function
        assert function == f"vad_{kernels}_{names[type(layer)]}"


@pytest.mark.parametrize("kernels", SETS)
def test_what_they_leave_to_the_sets_behind(kernels: str) -> None:
    b = CaseBuilder(1, (1, 8, 8, 16))
    assert functions(b, b.depthwise(b.input, multiplier=2), kernels=kernels) == [
        "vad_depthwise_conv2d"
    ]
    b = CaseBuilder(1, (1, 8, 8, 16))
    assert functions(b, b.mul_by_channel(b.input), kernels=kernels)[-1] == "vad_mul"


def test_what_cmsis_nn_alone_leaves_or_takes() -> None:
    b = CaseBuilder(1, (1, 8, 8, 5))
    row = b.conv(b.input, 4, (1, 3), padding="SAME")
    assert functions(b, row, kernels="cmsis_nn") == ["vad_conv2d"]
    pools = [b.pool(b.input, average, (2, 2), (2, 2), "SAME") for average in (True, False)]
    names = functions(b, *pools, kernels="cmsis_nn")[1:]
    assert names == ["vad_cmsis_nn_average_pool", "vad_cmsis_nn_max_pool"]


def test_what_esp_nn_alone_leaves() -> None:
    b = CaseBuilder(1, (1, 8, 8, 24))
    assert functions(b, b.depthwise(b.input), kernels="esp_nn") == ["vad_depthwise_conv2d"]
    b = CaseBuilder(1, (1, 8, 8, 128))
    assert functions(b, b.conv(b.input, 256), kernels="esp_nn") == ["vad_pointwise"]


def _changed(program: Program, **changes: Any) -> Program:
    """The one layer with another requantization and a bias of 100."""
    layer = program.layers[0]
    assert isinstance(layer, Conv2d)
    requant = dataclasses.replace(layer.requant, **changes)
    bias = np.full_like(layer.bias, 100)
    changed = dataclasses.replace(layer, requant=requant, bias=bias)
    return dataclasses.replace(program, layers=(changed,))


@pytest.mark.parametrize(
    ("shift", "takers"), [(-31, SETS), (-7, SETS), (5, SETS), (19, SETS), (20, SETS[:1]), (21, ())]
)
def test_shifts_after_which_sums_could_differ_are_left(shift: int, takers: tuple[str, ...]) -> None:
    """Sums here reach 1,124, which shifted left by 20 is above 2^30, and by -31 is nothing."""
    b = CaseBuilder(2, (1, 4, 4, 8), zero_point=0, weight=1)
    program = lower(b.graph(b.conv(b.input, 4)))
    program = _changed(program, shift=np.full(4, shift, np.int32))
    for kernels in SETS:
        taken = select(program.layers[0], program, (kernels, "portable")).function
        assert (taken == f"vad_{kernels}_conv2d") == (kernels in takers)


@pytest.mark.parametrize("kernels", SETS)
def test_element_by_element_shifts_are_bounded(kernels: str) -> None:
    b = CaseBuilder(2, (1, 4, 4, 8))
    program = lower(b.graph(b.mul_other(b.add_self(b.input))))
    for layer in program.layers:
        kinds: dict[type, dict[str, Any]] = {Add: {"shifts": (0, 0, 1)}, Mul: {"shift": 15}}
        if type(layer) not in kinds:
            continue
        assert select(layer, program, (kernels, "portable")).function.startswith(f"vad_{kernels}")
        wild = dataclasses.replace(layer, **kinds[type(layer)])
        assert select(wild, program, (kernels, "portable")).function in ("vad_add", "vad_mul")


def test_a_kernel_that_covers_its_input_is_1x1() -> None:
    b = CaseBuilder(3, (1, 3, 5, 4))
    (made,) = calls(b, b.fully_connected(b.input, 7), kernels="cmsis_nn")
    fields = dict(made.fields)
    names = ("n_rows", "in_height", "in_width", "in_channels", "kernel_h", "kernel_w", "row_bytes")
    assert [fields[name] for name in names] == [3, 1, 1, 60, 1, 1, 20]
    assert made.scratch_bytes == 4 * 60 + 3 * 20


def test_esp_nn_gets_aligned_tables_and_an_image_that_needs_no_copy(tmp_path: Path) -> None:
    b = CaseBuilder(4, (1, 8, 9, 16))
    program = lower(b.graph(b.depthwise(b.input, (3, 3), (2, 2), "SAME")))
    plan = make_plan(program, ("esp_nn", "portable"))
    (made,) = plan.calls
    fields = dict(made.fields)
    arrays = [value for value in fields.values() if isinstance(value, Array)]
    assert len(arrays) == 4 and all(array.alignment == 16 for array in arrays)
    # Five outputs of stride 2 under a kernel of 3 columns read 11; the input fills 9 of them, and
    # one more on the right belongs to the library's rounding up.
    assert [fields[n] for n in ("in_width", "left_bytes", "row_bytes", "pitch")] == [
        12,
        16,
        9 * 16,
        12 * 16,
    ]
    write_model(tmp_path, plan, "a test")
    text = (tmp_path / "vad_weights.h").read_text()
    assert "static const _Alignas(16) int8_t vad_weights_01_weights[144]" in text


# --- builds ---------------------------------------------------------------------------------------


def test_boards_name_the_libraries_they_can_run() -> None:
    for name in list_boards():
        board = load_board(name)
        known = {v.kernels for v in VENDORS}
        assert set(board.vendor_kernels) <= known and not set(board.kernels) & known
        if board.core.startswith("cortex-m"):
            assert board.vendor_kernels == ("cmsis_nn",)


def test_kernel_sets_are_chosen() -> None:
    board = load_board("qemu_m7")
    assert with_kernels(board, None) == board
    assert with_kernels(board, "cmsis_nn, dsp").kernels == ("cmsis_nn", "dsp", "portable")
    assert with_kernels(board, "portable").kernels == ("portable",)
    assert with_kernels(board, "portable,dsp,dsp").kernels == ("dsp", "portable")
    with pytest.raises(VadgenError, match="qemu_m7 cannot run kernels 'cmsisnn'") as caught:
        with_kernels(board, "cmsisnn,dsp")
    assert caught.value.hint == "did you mean cmsis_nn?"
    with pytest.raises(VadgenError, match="cannot run kernels 'mve'"):
        with_kernels(board, "mve")


def _asking(name: str) -> Board:
    """The board with the kernels of vendors first."""
    board = load_board(name)
    return with_kernels(board, ",".join((*board.vendor_kernels, *board.kernels)))


@pytest.mark.parametrize("name", ["qemu_m7", "qemu_rv32", "nucleo_h743zi", "esp32s3"])
def test_projects_hold_what_calls_the_library_only_where_it_is_asked_for(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from platformio.project.config import ProjectConfig

    board = _asking(name)
    (asked,) = vendors_of(board)
    folders = {v.folder for v in VENDORS}
    plain = platformio.create_project(tmp_path / "plain", load_board(name), MODEL)
    project = platformio.create_project(tmp_path / "asked", board, MODEL)
    assert not folders & {path.name for path in (plain / "lib").iterdir()}
    assert folders & {path.name for path in (project / "lib").iterdir()} == {asked.folder}
    monkeypatch.setenv(asked.variable, "/somewhere")
    monkeypatch.chdir(project)
    config = ProjectConfig(str(project / "platformio.ini"))
    config.validate([name])
    flags = " ".join(config.get(f"env:{name}", "build_flags"))
    component = project / "src" / "idf_component.yml"
    assert not (plain / "src" / "idf_component.yml").exists()
    if board.platformio.framework == "espidf":
        assert component.read_text() == 'dependencies:\n  espressif/esp-nn: "1.2.3"\n'
        assert "/somewhere" not in flags
    else:
        assert not component.exists()
        wanted = f'"-I/somewhere/include" "-L/somewhere" -l{asked.library}'
        assert " ".join((wanted, *asked.defines)) in flags
    assert asked.title not in (plain / "platformio.ini").read_text()


def test_a_library_that_is_not_here_is_a_missing_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cmsis_nn = vendor("cmsis_nn")
    monkeypatch.delenv(cmsis_nn.variable, raising=False)
    with pytest.raises(VadgenError, match="calls CMSIS-NN, which is not here") as caught:
        cmsis_nn.find()
    assert caught.value.code is Exit.TOOL_MISSING
    assert "VADGEN_CMSIS_NN" in caught.value.hint and "libcmsis-nn.a" in caught.value.hint
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "arm_nnfunctions.h").touch()
    monkeypatch.setenv(cmsis_nn.variable, str(tmp_path))
    with pytest.raises(VadgenError, match=r"no file .*libcmsis-nn\.a"):
        cmsis_nn.find()
    (tmp_path / "libcmsis-nn.a").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(cmsis_nn.variable, ".")
    assert cmsis_nn.find() == tmp_path.resolve()


def compile_adapters(kernels: str, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Compiles the C of a set against the declarations of its stand-in."""
    made, lib = vendor(kernels), paths.firmware() / "lib"
    built = stand_in(kernels, folder)
    includes = [
        built / "include",
        *(lib / name / "include" for name in ("vad_core", "vad_kernels")),
    ]
    command = ["gcc", "-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror"]
    command += [*flags, "-fsyntax-only", f"-I{lib / made.folder / 'include'}"]
    command += [f"-I{path}" for path in includes]
    sources = sorted((lib / made.folder / "src").glob("*.c"))
    return subprocess.run(
        [*command, *map(str, sources)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("kernels", "defines", "macro"),
    [
        ("cmsis_nn", (), "CMSIS_NN_USE_SINGLE_ROUNDING"),
        ("esp_nn", ("-DCONFIG_NN_OPTIMIZED=1",), "CONFIG_NN_SKIP_NUDGE"),
        ("esp_nn", ("-DCONFIG_NN_OPTIMIZED=1",), "SKIP_NUDGE"),
    ],
)
def test_a_library_that_rounds_otherwise_is_refused(
    kernels: str, defines: tuple[str, ...], macro: str, tmp_path: Path
) -> None:
    fine = compile_adapters(kernels, tmp_path / "fine", *defines)
    assert fine.returncode == 0, fine.stderr
    refused = compile_adapters(kernels, tmp_path / "refused", *defines, f"-D{macro}")
    assert refused.returncode != 0 and "gives other bytes" in refused.stderr
