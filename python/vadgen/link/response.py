"""What a firmware answers for an image, put together from the messages in which it comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadgen.errors import VadgenError
from vadgen.link.messages import Cells, Message, Output, Result

CELLS_AT_ONCE = 256
"""Cells that are asked for in one message."""


@dataclass(frozen=True, eq=False)
class Response:
    """What the firmware answered for one image.

    Attributes:
        outputs: int8 arrays in the shapes asked for; empty when not asked for.
        cells: uint32 (rows * cols,) cell scores; empty when not asked for or without a detector.
        score: image score, 0 without a detector.
        threshold: the score above which an image is anomalous.
        is_anomalous: the firmware's decision.
    """

    outputs: tuple[NDArray[np.int8], ...]
    cells: NDArray[np.uint32]
    score: int
    threshold: int
    is_anomalous: bool


class Collector:
    """Puts the messages about one image together, in whatever order and however often they come.

    Args:
        output_shapes: shapes of the outputs in order, rows first; empty where they are not wanted.
        what: names the firmware in messages of errors.
    """

    def __init__(self, output_shapes: Sequence[tuple[int, ...]], what: str) -> None:
        self._shapes = output_shapes
        self._what = what
        self._rows: dict[tuple[int, int], bytes] = {}
        self._cells: dict[int, bytes] = {}
        self.result: Result | None = None

    def take(self, message: Message) -> None:
        """Keeps what a message says about the image."""
        if isinstance(message, Output):
            self._rows[message.output, message.y] = message.data
        elif isinstance(message, Cells):
            self._cells[message.first] = message.values
        elif isinstance(message, Result):
            self.result = message

    def response(self, want_cells: bool) -> Response:
        """The whole answer.

        Raises:
            VadgenError: parts are missing.
        """
        result = self.result
        if result is None:
            raise VadgenError(f"{self._what} ended an image without a result", "build again")
        outputs = tuple(self._output(i, shape) for i, shape in enumerate(self._shapes))
        data = b"".join(self._cells[first] for first in sorted(self._cells))
        if want_cells and len(data) != 4 * result.n_cells:
            raise VadgenError(
                f"{self._what} sent {len(data)} bytes of cells, not {4 * result.n_cells}",
                "build again",
            )
        cells = np.frombuffer(data, "<u4").astype(np.uint32, copy=False)
        return Response(outputs, cells, result.score, result.threshold, bool(result.is_anomalous))

    def lacks_outputs(self) -> bool:
        """Whether rows of outputs are missing."""
        return any(len(self._joined(i, s)) != int(np.prod(s)) for i, s in enumerate(self._shapes))

    def _joined(self, index: int, shape: tuple[int, ...]) -> bytes:
        height = shape[0] if len(shape) > 1 else 1  # a vector is one row
        return b"".join(self._rows.get((index, y), b"") for y in range(height))

    def _output(self, index: int, shape: tuple[int, ...]) -> NDArray[np.int8]:
        data = self._joined(index, shape)
        if len(data) != int(np.prod(shape)):
            raise VadgenError(
                f"{self._what} sent {len(data)} bytes of output {index}, not {int(np.prod(shape))}",
                "build again",
            )
        return np.frombuffer(data, np.int8).reshape(shape)
