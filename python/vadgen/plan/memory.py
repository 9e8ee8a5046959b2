"""Which buffer lies in which of the board's memories."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from vadgen.board import Board
from vadgen.plan.planner import Plan

ARENA, DETECTOR = "arena", "detector"


@dataclass(frozen=True)
class Buffer:
    """Something that can lie in any memory.

    Attributes:
        name: "arena" (rows of tensors, scratch) or "detector" (its state).
        size: bytes.
        heat: how much it is used; of two buffers the hotter gets the faster memory.
    """

    name: str
    size: int
    heat: int


@dataclass(frozen=True)
class Room:
    """What is left of a memory.

    Attributes:
        region: its name on the board.
        rank: 1 for the fastest.
        size: bytes.
        section: of the linker script; "" for the board's "ram".
    """

    region: str
    rank: int
    size: int
    section: str = ""


def rooms_of(board: Board, taken: int) -> tuple[Room, ...]:
    """The board's memories for data, `taken` bytes of its "ram" being spoken for."""
    return tuple(
        Room(r.name, r.rank or 1, r.size - (taken if r.name == "ram" else 0), r.section)
        for r in board.data_regions
    ) or (Room("ram", 1, board.ram_bytes - taken),)


def buffers_of(plan: Plan) -> tuple[Buffer, ...]:
    """The plan's buffers, the hottest first."""
    found = (
        Buffer(ARENA, plan.rows_bytes, 2),
        Buffer(DETECTOR, plan.arena_bytes - plan.rows_bytes, 1),
    )
    return tuple(buffer for buffer in found if buffer.size)


def place(buffers: Sequence[Buffer], rooms: Sequence[Room]) -> Mapping[str, Room] | None:
    """The room of each buffer, or None when they do not fit.

    What is in the slowest memory counts first: nothing lies there that has a place in a faster one.
    Between equals, the hotter buffer gets the faster memory.
    """

    def heat(rank: int, chosen: Sequence[Room]) -> int:
        return sum(b.heat for b, room in zip(buffers, chosen, strict=True) if room.rank == rank)

    ranks = sorted({room.rank for room in rooms}, reverse=True)
    fitting = list(_fitting(buffers, rooms))
    if not fitting:
        return None
    best = min(fitting, key=lambda chosen: [heat(rank, chosen) for rank in ranks])
    return {buffer.name: room for buffer, room in zip(buffers, best, strict=True)}


def most_rows(rooms: Sequence[Room], state_bytes: int) -> int:
    """Bytes that the arena may take beside a detector's state."""
    together = [room.size - state_bytes for room in rooms]
    apart = [a.size for a, b in itertools.permutations(rooms, 2) if state_bytes <= b.size]
    return max([*together, *apart])


def _fitting(buffers: Sequence[Buffer], rooms: Sequence[Room]) -> Iterator[tuple[Room, ...]]:
    for chosen in itertools.product(rooms, repeat=len(buffers)):
        taken = {
            room.region: sum(b.size for b, r in zip(buffers, chosen, strict=True) if r is room)
            for room in rooms
        }
        if all(taken[room.region] <= room.size for room in rooms):
            yield chosen
