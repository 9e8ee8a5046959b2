"""The network on TensorFlow Lite Micro: its plan, its arena, the operator that differs there."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadgen.board import UNLIMITED, Board
from vadgen.build.emulator import answer
from vadgen.build.icount import count
from vadgen.build.platformio import build_project, create_project
from vadgen.build.tflm import Library, find_library
from vadgen.emit.model import Interpreted, write_model
from vadgen.errors import Exit, VadgenError
from vadgen.lower import Program, lower
from vadgen.pipeline.compiler import (
    build_firmware,
    reference_run,
    run_on_emulator,
    runtime_json,
)
from vadgen.pipeline.parity import Run, compare
from vadgen.plan.arena import align
from vadgen.plan.planner import Plan, plan_sink
from vadgen.plan.whole import interpreter_bytes
from vadgen.quant.cut import first_difference
from vadgen.quant.oracle import arena_bound
from vadgen.quant.tflite_reader import read_tflite
from vadgen.quant.tflite_writer import write_tflite
from vadgen.sink import Sink

NOTHING = Sink((), 0)
"""Of a network without a detector."""

_OTHER_RAM_BYTES = 8192


@dataclass(frozen=True, eq=False)
class Interpreter:
    """A network on TensorFlow Lite Micro, for one board.

    Attributes:
        board: what it is for.
        library: the user's; None where the board's registry brings one.
        tflite: the network.
    """

    board: Board
    library: Library | None
    tflite: bytes

    @property
    def program(self) -> Program:
        """The network's integer layers."""
        return lower(read_tflite(self.tflite))

    def network(self, arena_bytes: int) -> Interpreted:
        """What the templates need of it."""
        kinds = sorted({op.kind for op in read_tflite(self.tflite).ops})
        return Interpreted(self.program, self.tflite, tuple(kinds), arena_bytes)

    def plan(self, sink: Sink, arena_bytes: int) -> Plan:
        """The detector's plan behind the network, whose arena comes first in the plan's."""
        program = self.program
        outputs = [program.values[i] for i in program.outputs]
        taps = tuple(replace(value, index=i) for i, value in enumerate(outputs))
        plan = plan_sink(Program(taps, (), tuple(range(len(taps)))), sink)
        first = replace(plan.nodes[0], label="TensorFlow Lite Micro")
        return replace(
            plan,
            nodes=(first, *plan.nodes[1:]),
            rows_bytes=plan.rows_bytes + arena_bytes,
            arena_bytes=plan.arena_bytes + arena_bytes,
        )

    def arena_bytes(self) -> int:
        """Bytes of the arena: asked of the board where it runs here, else an estimate.

        Raises:
            VadgenError: DOES_NOT_FIT; the board's RAM is not enough. As `build_project`.
        """
        estimate = align(interpreter_bytes(self.program))
        if self.library is None or not is_run_here(self.board):
            return estimate + estimate // 8
        limit = self._most_bytes()
        with tempfile.TemporaryDirectory(prefix="vadgen-") as name:
            folder = Path(name)
            self.write(folder, NOTHING, limit)
            project = create_project(folder, self.board, folder, self.library, program="tflm")
            elf = build_project(project, self.board)
            found = int.from_bytes(answer(elf, self.board), "little")
        if found == 0:
            raise VadgenError(
                f"TensorFlow Lite Micro does not take the network on {self.board.id} in {limit:,} "
                f"bytes of RAM; its tensors alone take about {estimate:,}",
                "a smaller --input needs less; so does --runtime vadgen",
                Exit.DOES_NOT_FIT,
            )
        return found

    def write(self, folder: Path, sink: Sink, arena_bytes: int, **options: Any) -> Plan:
        """Writes the generated C and C++ into a folder; returns its plan."""
        plan = self.plan(sink, arena_bytes)
        source = options.pop("source", "the same model")
        write_model(folder, plan, source, network=self.network(arena_bytes), **options)
        return plan

    def differing_operator(self, images: NDArray[np.int8]) -> str:
        """Names the operator that gives other bytes on the board than in the numpy reference.

        Args:
            images: what to compare on, as the input tensor takes them.
        """
        graph = read_tflite(self.tflite)
        found = first_difference(
            graph, lambda part: not replace(self, tflite=write_tflite(part)).agrees(images)
        )
        if found is None:
            return "none alone, but all together"
        op = graph.ops[found]
        return f"operator {found} ({op.kind}, '{graph.tensors[op.outputs[0]].name}')"

    def differs(self, images: NDArray[np.int8]) -> VadgenError:
        """The error that names the operator in which it gives other bytes on these images."""
        return VadgenError(
            "TensorFlow Lite Micro gives other bytes than the reference: "
            f"{self.differing_operator(images)} differs first",
            "this library's kernels must not be used; take its reference kernels, or --runtime "
            "vadgen",
            Exit.PARITY,
        )

    def measured(self, images: NDArray[np.int8], reference: Run) -> dict[str, Any]:
        """Builds the network alone, compares it and counts an image, as `runtime_json` says it.

        Args:
            images: as the input tensor takes them.
            reference: what must come out.

        Raises:
            VadgenError: PARITY if other bytes come out; as `arena_bytes` and `build_firmware`.
        """
        arena_bytes, counts = self.arena_bytes(), None
        with tempfile.TemporaryDirectory(prefix="vadgen-") as name:
            folder = Path(name)
            plan = self.write(folder, NOTHING, arena_bytes)
            firmware = build_firmware(folder, self.board, folder, self.library)
            if firmware.elf is not None:
                run = run_on_emulator(
                    firmware.elf, self.board, self.program, images, detector=False
                )
                if not compare(reference, run).holds:
                    raise self.differs(images)
                if self.board.emulator is not None:
                    counts = count(firmware.elf, self.board, images[0])
        return runtime_json("tflm", plan, firmware, counts)

    def agrees(self, images: NDArray[np.int8]) -> bool:
        """Whether the network alone gives the reference's bytes on the board."""
        program = self.program
        with tempfile.TemporaryDirectory(prefix="vadgen-") as name:
            folder = Path(name)
            self.write(folder, NOTHING, self._most_bytes())
            elf = build_firmware(folder, self.board, folder, self.library).elf
            assert elf is not None, "its tools built the firmware before"
            run = run_on_emulator(elf, self.board, program, images, detector=False)
        return compare(reference_run(program, images), run).holds

    def _most_bytes(self) -> int:
        """Of RAM that the arena may take."""
        if self.board.ram_bytes == UNLIMITED:
            return align(arena_bound(read_tflite(self.tflite)))
        taken = self.board.stack_bytes + _OTHER_RAM_BYTES + self.program.values[0].row_bytes
        return (self.board.ram_bytes - taken) // 16 * 16


def is_run_here(board: Board) -> bool:
    """Whether the board's firmware runs on this computer."""
    return board.emulator is not None or board.port == "host"


def open_library(runtime: str, tflm: Path | None, board: Board) -> Library | None:
    """TensorFlow Lite Micro's library, if it is the runtime; None where a registry brings it.

    Args:
        runtime: as of a recipe.
        tflm: as of a recipe.
        board: what it is for.

    Raises:
        VadgenError: they contradict each other, or as `find_library`.
    """
    if runtime != "tflm":
        if tflm is not None:
            raise VadgenError("--tflm is given without --runtime tflm", "add it, or leave it out")
        return None
    if tflm is None:
        if board.is_in_project:
            raise VadgenError(
                f"no registry brings TensorFlow Lite Micro for {board.id}",
                "add --tflm DIR, a tree in which its own makefile built the target `microlite`",
                Exit.TOOL_MISSING,
            )
        return None
    if board.platformio.framework == "espidf":
        raise VadgenError(
            f"{board.id} takes TensorFlow Lite Micro from ESP-IDF's registry", "leave --tflm out"
        )
    if not tflm.is_dir():
        raise VadgenError(f"{tflm} is no folder", "check the path")
    return find_library(tflm, board)
