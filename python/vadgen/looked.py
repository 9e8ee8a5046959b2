"""What the search of a memory bank looks at, as its C counts it."""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Looked:
    """Counts over some images.

    Attributes:
        look_ups: entries of look-up tables that were read.
        table_entries: distances to centroids that the tables were made of.
        direct: distances to centroids that were computed without a table.
        sums: entries of the tables of bytes that hold two codes.
        rows: rows of the bank, in any level.
        kept: of these, rows that stayed below the bound.
        values: of flat rows.
    """

    look_ups: int = 0
    table_entries: int = 0
    direct: int = 0
    sums: int = 0
    rows: int = 0
    kept: int = 0
    values: int = 0

    def over(self, n: int) -> Looked:
        """For one of `n` images, rounded."""
        return Looked(*(round(count / n) for count in astuple(self)))
