"""What a detector does with the taps: steps of the plan's schedule, beside the network's own.

A detector that keeps nothing but its answer (diagonal PaDiM) takes each row of a tap as it comes:
a step a tap, without an output. One whose cells need several taps at once makes rows of its own and
reads them together. What a step makes is a ring of rows in the arena, like any tensor of the
network: as many rows as wait for their partners, found and proved by the plan. Teacher and
student, patches of several resolutions, sums of pixels under a coarse cell: each is a `SinkStep`
whose inputs are what must be there together. Its C gets pointers to their rows, wherever the rings
wrap, and a row to write. To add a detector:

1. its tables' `sink` property lists the steps and the bytes that it keeps until the answer is read;
2. `templates/detectors/<name>.c.j2` has the macro `step(model, step)`, whose C may use `y`, `rows`,
   `out` and `scratch`; `step.argument` tells the steps apart.

Scratch lasts for one row; `state_bytes` last from `begin` to the next.
"""

from __future__ import annotations

from dataclasses import dataclass

from vadgen.lower import RowWindow


@dataclass(frozen=True)
class SinkStep:
    """A step that makes or takes a row at a time, in order.

    Attributes:
        label: for people.
        inputs: what it reads: tap i as i, what step j makes as `number of taps + j`.
        windows: by input, the rows that one of its rows reads. `rows` in C has all of them, input
            by input, NULL for a row outside.
        rows: how many rows it makes or takes.
        width, cell_bytes: of what it makes: cells of a row, bytes of one; 0 when it makes nothing.
        scratch_bytes: what it needs while it runs, aligned to 8.
        argument: for its C.
    """

    label: str
    inputs: tuple[int, ...]
    windows: tuple[RowWindow, ...]
    rows: int
    width: int = 0
    cell_bytes: int = 0
    scratch_bytes: int = 0
    argument: int = 0


@dataclass(frozen=True)
class Sink:
    """A detector as the plan sees it.

    Attributes:
        steps: each after those whose rows it reads.
        state_bytes: what is kept over an image, the answer included.
    """

    steps: tuple[SinkStep, ...]
    state_bytes: int

    @property
    def scratch_bytes(self) -> int:
        """The most that a step uses."""
        return max((step.scratch_bytes for step in self.steps), default=0)

    @property
    def made_bytes(self) -> int:
        """Bytes of all rows that the steps make."""
        return sum(step.rows * step.width * step.cell_bytes for step in self.steps)


def tap_by_tap(rows: tuple[int, ...], state_bytes: int) -> Sink:
    """The sink of a detector that takes every row of tap i, of `rows[i]`, as it comes."""
    steps = (
        SinkStep(f"detector, tap {i}", (i,), (RowWindow(),), n, argument=i)
        for i, n in enumerate(rows)
    )
    return Sink(tuple(steps), state_bytes)
