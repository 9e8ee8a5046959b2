"""Places buffers in the arena: whole segments as time, first fit by size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 8


@dataclass(frozen=True)
class Block:
    """Something that needs `size` bytes during the segments `first .. last`."""

    name: str
    size: int
    first: int
    last: int


def align(size: int, to: int = ALIGNMENT) -> int:
    """The size rounded up."""
    return -(-size // to) * to


def place(blocks: Sequence[Block]) -> tuple[dict[str, int], int]:
    """Offsets by name and the arena's size.

    Tries several orders (largest first, longest first, earliest first) and keeps the smallest.
    """
    orders = (
        lambda b: (-b.size, b.first, b.name),
        lambda b: (-(b.last - b.first), -b.size, b.name),
        lambda b: (b.first, -b.size, b.name),
    )
    results = [_first_fit(sorted(blocks, key=order)) for order in orders]
    return min(results, key=lambda result: result[1])


def _first_fit(blocks: Sequence[Block]) -> tuple[dict[str, int], int]:
    placed: list[tuple[Block, int]] = []
    for block in blocks:
        at = 0
        busy = sorted(
            (offset, offset + align(other.size))
            for other, offset in placed
            if other.first <= block.last and block.first <= other.last
        )
        for start, end in busy:
            if at + align(block.size) <= start:
                break
            at = max(at, end)
        placed.append((block, at))
    size = max((offset + align(b.size) for b, offset in placed), default=0)
    return {b.name: offset for b, offset in placed}, size
