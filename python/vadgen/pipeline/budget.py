"""Whether a plan fits the board, and which input size does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vadgen.board import UNLIMITED, Board, load_board, with_kernels
from vadgen.errors import Exit, VadgenError
from vadgen.lower import Program, lower
from vadgen.pipeline.detector import Detector, empty_tables, least_bank, patchcore_options
from vadgen.plan.memory import ARENA, Room, buffers_of, most_rows, place, rooms_of
from vadgen.plan.planner import Plan, least_constant_bytes, make_plan, most_scratch
from vadgen.plan.whole import interpreter_bytes, tensor_bytes
from vadgen.recipe import TRAINED, PadimOptions, Recipe
from vadgen.ref.roi import Inside
from vadgen.sink import Sink

if TYPE_CHECKING:
    from vadgen.backbones.network import Network
    from vadgen.detectors.picker import Limits
    from vadgen.quant.quantize import Ranges

SIZES = (224, 160, 128, 96)

# What a firmware takes beside the model, measured on qemu_m7 and rounded up: code of kernels,
# schedule, port and start-up; the model's counters, a row of the input, the port's variables.
CODE_BYTES = 28 * 1024
OTHER_RAM_BYTES = 2 * 1024

# What the ports beside the emulated one take more: bytes that came and are not read yet, handles.
PORT_RAM_BYTES = {"stm32": 1024 + 512}

# The same of TensorFlow Lite Micro with the operators of a CNN: its code beside our own.
TFLM_CODE_BYTES = 96 * 1024

# Instructions that a search may always cost, however small the backbone.
LEAST_INSTRUCTIONS = 20_000_000


def board_of(recipe: Recipe) -> Board:
    """The recipe's board, with its kernel sets and no more memory than its budgets."""
    board = with_kernels(load_board(recipe.board), recipe.kernels)
    return limited(board, recipe.flash_budget, recipe.ram_budget)


def limited(board: Board, flash_bytes: int | None, ram_bytes: int | None) -> Board:
    """The board with no more flash and RAM than given; None leaves what it has."""
    most = {"flash": flash_bytes, "ram": ram_bytes}
    regions = (
        replace(region, size=min(region.size, most.get(region.name) or region.size))
        for region in board.memory
    )
    return replace(board, memory=tuple(regions))


def beside_interpreter(board: Board, program: Program, tflite_bytes: int) -> Board:
    """The board less what TensorFlow Lite Micro takes of it, for the choice of a detector.

    What fits there with vadgen's own runtime fits behind the interpreter, too: the detector takes
    no more RAM than the whole of that runtime's plan.

    Args:
        board: with its memory as limited.
        program: the network.
        tflite_bytes: of its file, which lies in flash as it is.

    Raises:
        VadgenError: DOES_NOT_FIT; the network alone is too large.
    """
    taken = {
        "flash": tflite_bytes + TFLM_CODE_BYTES - least_constant_bytes(program, board.kernels),
        "ram": interpreter_bytes(program),
    }
    regions = []
    for region in board.memory:
        size = region.size - max(0, taken.get(region.name, 0))
        if size <= 0:
            raise VadgenError(
                f"TensorFlow Lite Micro does not fit {board.id}: {region.name} is short by at "
                f"least {1 - size:,} bytes (tensors {tensor_bytes(program):,}, model "
                f"{tflite_bytes:,})",
                "a smaller --input or --width, or --runtime vadgen, needs less",
                Exit.DOES_NOT_FIT,
            )
        regions.append(replace(region, size=size))
    return replace(board, memory=tuple(regions))


def plan_for(
    program: Program,
    board: Board,
    detector: Detector | None = None,
    *,
    fills: bool = False,
    spares: bool = False,
) -> Plan:
    """The plan for a board, whose flash the kernels share with the detector's tables.

    Args:
        program: the network.
        board: with its memory as limited.
        detector: None for the network alone.
        fills: as for `make_plan`.
        spares: as for `make_plan`.
    """
    sink, table_bytes = (None, 0) if detector is None else (detector.sink, detector.table_bytes)
    return _plan(program, board, sink, table_bytes, fills, spares)


def plan_of(recipe: Recipe, program: Program, board: Board, detector: Detector) -> Plan:
    """The plan of a build: a budget that was named is filled, flash is spared where none was."""
    fills, spares = recipe.ram_budget is not None, recipe.flash_budget is None
    return plan_for(program, board, detector, fills=fills, spares=spares)


def _plan(
    program: Program,
    board: Board,
    sink: Sink | None,
    table_bytes: int,
    fills: bool,
    spares: bool = False,
) -> Plan:
    flash_bytes = board.flash_bytes - CODE_BYTES - table_bytes
    places = rooms(program, board)
    plans = []
    for apart in (False, True) if sink and sink.scratch_bytes and len(places) > 1 else (False,):
        own = sink.state_bytes + (sink.scratch_bytes if apart else 0) if sink else 0
        ram_bytes = arena_budget(program, board, own)
        plans.append(
            make_plan(program, board.kernels, sink, ram_bytes, flash_bytes, fills, spares, apart)
        )
    return min(plans, key=lambda plan: _slowness(plan, places))


def _slowness(plan: Plan, places: Sequence[Room]) -> int:
    """Rank of the memory in which the arena lies; beyond all where the plan does not fit."""
    placed = place(buffers_of(plan), places)
    return placed[ARENA].rank if placed else sys.maxsize


def table_budget(program: Program, board: Board) -> int:
    """Flash that the detector's tables may take beside this backbone in its smallest layout.

    Raises:
        VadgenError: DOES_NOT_FIT; nothing is left.
    """
    weights, budget = least_constant_bytes(program, board.kernels), board.flash_bytes
    left = budget - weights - CODE_BYTES
    if left <= 0:
        raise VadgenError(
            f"the model does not fit {board.id}: flash is short by {1 - left:,} bytes before any "
            f"table (weights {weights:,}, code {CODE_BYTES:,} of {budget:,})",
            "a smaller --width or another --backbone needs less",
            Exit.DOES_NOT_FIT,
        )
    return left


def rooms(program: Program, board: Board) -> tuple[Room, ...]:
    """The board's memories beside the stack and the firmware's own."""
    own = OTHER_RAM_BYTES + PORT_RAM_BYTES.get(board.port, 0)
    return rooms_of(board, program.values[0].row_bytes + board.stack_bytes + own)


def arena_budget(program: Program, board: Board, state_bytes: int = 0) -> int:
    """RAM that a plan with so large a detector's state may take in all."""
    return most_rows(rooms(program, board), state_bytes) + state_bytes


def sections(plan: Plan, board: Board) -> dict[str, str]:
    """The section of each buffer; none for a plan that does not fit, which others refuse."""
    placed = place(buffers_of(plan), rooms(plan.program, board)) or {}
    return {name: room.section for name, room in placed.items()}


def bank_limits(
    program: Program, board: Board, recipe: Recipe, roi: Inside | None = None
) -> Limits:
    """What a memory bank may take beside this backbone.

    A search may cost as many instructions as the backbone has multiply-accumulates, unless the
    recipe says otherwise or names the rows itself.

    Raises:
        VadgenError: DOES_NOT_FIT; no flash is left.
    """
    from vadgen.detectors.picker import Limits

    flash_bytes = table_budget(program, board)
    default = UNLIMITED if recipe.patchcore.codes else max(program.macs, LEAST_INSTRUCTIONS)
    return Limits(
        flash_bytes,
        _search_ram(program, board, recipe, roi),
        recipe.patchcore.instructions or default,
        recipe.patchcore.bank_bytes,
        firm=recipe.patchcore.instructions is not None,
    )


def _search_ram(program: Program, board: Board, recipe: Recipe, roi: Inside | None) -> int:
    """RAM that a bank's search and its answer may take in the smallest plan."""
    from vadgen.detectors.patchcore import lay_out, sink_of

    options = patchcore_options(recipe)
    bare = replace(options, search="flat", bits=8, n_codes=0, rotate=True)
    values = [program.values[i] for i in program.outputs]
    sink = sink_of(lay_out(values, options.halve, roi), bare)
    places = rooms(program, board)

    def fits(plan: Plan) -> bool:
        return place(buffers_of(plan), places) is not None

    return sink.state_bytes + max(
        most_scratch(program, board.kernels, sink, fits, apart)
        for apart in ((False, True) if len(places) > 1 else (False,))
    )


@dataclass(frozen=True)
class Settled:
    """Input size and detector of a build, and why, where the recipe left the detector open."""

    input: int
    detector: str
    why: str | None


def settle(recipe: Recipe, board: Board, network: Network, roi: Inside | None = None) -> Settled:
    """Fills in the input size and the detector that the recipe leaves open.

    The detector is PatchCore where it fits the board, at the size asked for or at any, since it
    finds more; else PaDiM. Options of PaDiM ask for PaDiM.

    Raises:
        VadgenError: DOES_NOT_FIT; neither fits. Options that contradict each other.
    """
    if recipe.detector != "auto":
        size = recipe.input or largest_input(recipe, board, network, roi)
        return Settled(size, recipe.detector, None)
    if recipe.padim != PadimOptions():
        why = "PaDiM, since options of it were given"
    else:
        wanted = replace(recipe, detector="patchcore")
        sizes = SIZES if recipe.input is None else (recipe.input,)
        for size in sizes:
            lack = _lack(wanted, board, network, size, roi)
            if not lack:
                why = f"PatchCore, since it fits {board.id}; --detector padim takes the other"
                return Settled(size, "patchcore", f"detector: {why}")
        why = f"PaDiM, since PatchCore does not fit {board.id} at {sizes[-1]} pixels: {lack}"
    size = recipe.input or largest_input(replace(recipe, detector="padim"), board, network, roi)
    return Settled(size, "padim", f"detector: {why}")


def largest_input(recipe: Recipe, board: Board, network: Network, roi: Inside | None = None) -> int:
    """The largest of `SIZES` with which backbone and detector fit the board.

    Raises:
        VadgenError: DOES_NOT_FIT, with the smallest size's lack.
    """
    lacks: list[str] = []
    for size in SIZES:
        lack = _lack(recipe, board, network, size, roi)
        if not lack:
            return size
        lacks.append(lack)
    raise VadgenError(
        f"{recipe.backbone} with {recipe.detector} does not fit {board.id} at {SIZES[-1]} pixels: "
        f"{lacks[-1]}",
        "a smaller --width, another --backbone or fewer --codes or --channels need less",
        Exit.DOES_NOT_FIT,
    )


def check_plan(
    plan: Plan,
    detector: Detector,
    board: Board,
    recipe: Recipe,
    network: Network,
    roi: Inside | None = None,
) -> None:
    """Refuses a plan that cannot fit, before the compiler does.

    Raises:
        VadgenError: DOES_NOT_FIT; says which memory, by how many bytes, and the size that fits.
    """
    lack = _shortage(plan, detector.table_bytes, board)
    if not lack:
        return
    assert recipe.input is not None
    fits = [s for s in SIZES if s < recipe.input and not _lack(recipe, board, network, s, roi)]
    less = "another --backbone" if recipe.detector in TRAINED else "fewer channels"
    hint = f"--input {fits[0]} fits" if fits else f"a smaller --width or {less} need less"
    raise VadgenError(f"the model does not fit {board.id}: {lack}", hint, Exit.DOES_NOT_FIT)


def check_interpreted(plan: Plan, detector: Detector, board: Board, tflite_bytes: int) -> None:
    """Refuses what cannot fit on TensorFlow Lite Micro, before the compiler does.

    Args:
        plan: with the interpreter's arena.
        detector: behind it.
        board: with its memory as limited.
        tflite_bytes: of the network's file.

    Raises:
        VadgenError: DOES_NOT_FIT; says which memory and by how many bytes.
    """
    lack = _shortage(plan, detector.table_bytes, board, tflite_bytes + TFLM_CODE_BYTES)
    if lack:
        raise VadgenError(
            f"the model does not fit {board.id} on TensorFlow Lite Micro: {lack}",
            "a smaller --input or --width, or --runtime vadgen, needs less",
            Exit.DOES_NOT_FIT,
        )


def usual_ranges(network: Network, size: int) -> Ranges:
    """What nodes hold, for all that is known before a picture was seen.

    Behind a ReLU6 zero is the least value, which decides the kernel.
    """
    from vadgen.backbones.network import LINEAR, RELU6
    from vadgen.quant.quantize import Ranges

    relu6 = [getattr(node, "limits", LINEAR) == RELU6 for node in network.nodes]
    return Ranges(size, size, np.where(relu6, 0.0, -8.0), np.where(relu6, 6.0, 8.0))


def _lack(recipe: Recipe, board: Board, network: Network, size: int, roi: Inside | None) -> str:
    """What is missing at an input size."""
    from vadgen.quant.quantize import quantize
    from vadgen.quant.tflite_writer import write_tflite

    graph = quantize(network, usual_ranges(network, size))
    program = lower(graph)
    values = [program.values[i] for i in program.outputs]
    try:
        if recipe.runtime == "tflm":
            board = beside_interpreter(board, program, len(write_tflite(graph)))
        if recipe.detector == "patchcore":
            limits = bank_limits(program, board, recipe, roi)
            sink, table_bytes = least_bank(recipe, values, limits, roi)
        else:
            sink, table_bytes = empty_tables(recipe, values, table_budget(program, board), roi)
    except VadgenError as error:
        if error.code != Exit.DOES_NOT_FIT:
            raise
        return error.message
    plan = _plan(program, board, sink, table_bytes, recipe.ram_budget is not None)
    return _shortage(plan, table_bytes, board)


def _shortage(plan: Plan, table_bytes: int, board: Board, network_bytes: int = 0) -> str:
    """Which memory is short and by how many bytes, or ""; `network_bytes` of another runtime's."""
    weights = plan.constant_bytes + network_bytes
    flash = weights + table_bytes + CODE_BYTES
    budget = arena_budget(plan.program, board, plan.arena_bytes - plan.rows_bytes)
    ram = board.ram_bytes - budget + plan.arena_bytes
    parts = (
        ("flash", flash, board.flash_bytes, "weights", weights, "tables", table_bytes),
        (
            "RAM",
            ram,
            board.ram_bytes,
            "rows",
            plan.rows_bytes,
            "detector",
            plan.state_bytes,
        ),
    )
    for name, used, limit, *shares in parts:
        if used > limit:
            a, a_bytes, b, b_bytes = shares
            return (
                f"{name} is short by {used - limit:,} bytes ({a} {a_bytes:,}, {b} {b_bytes:,} of "
                f"{limit:,})"
            )
    return ""
