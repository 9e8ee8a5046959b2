"""What a kernel tells the plan and the templates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadgen.lower import Layer, Program

C_TYPES = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "uint16": "uint16_t",
    "int32": "int32_t",
    "uint32": "uint32_t",
}


@dataclass(frozen=True, eq=False)
class Array:
    """A constant table: the numpy dtype decides the C type; flattened in C order.

    Attributes:
        data: its elements.
        alignment: of its first byte, 0 for what the compiler gives.
    """

    data: NDArray[Any]
    alignment: int = 0

    @property
    def c_type(self) -> str:
        """The element's C type, with the table's alignment before it."""
        name = C_TYPES[self.data.dtype.name]
        return f"_Alignas({self.alignment}) {name}" if self.alignment else name


@dataclass(frozen=True)
class Planes:
    """Rows of planes, a channel after the other.

    Those of int16 are centred, with zeros around their pixels; those of int8 hold the pixels alone.
    All other rows are int8 pixels, channels innermost.

    Attributes:
        left: zeros before the first pixel of a plane.
        plane: pixels of a plane with all its zeros.
        channels: planes of a row.
        item_bytes: of a pixel, 1 or 2.
        saves: instructions of one inference that they save the layer that reads them.
    """

    left: int
    plane: int
    channels: int
    item_bytes: int
    saves: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.item_bytes * self.plane * self.channels


@dataclass(frozen=True)
class Compact:
    """A layout of a layer's constants that takes less flash and is widened as the layer runs.

    Attributes:
        saves: bytes of flash.
        costs: instructions of one inference.
    """

    saves: int
    costs: int


@dataclass(frozen=True, eq=False)
class Call:
    """One layer's kernel with its constants.

    Attributes:
        function: the C function; its parameters are `<function>_t` unless `struct` says.
        fields: the struct's members in order; an Array becomes a table and a pointer to it, a str
            is the name of something that the header declares.
        scratch_bytes: what the kernel needs while it runs.
        struct: the parameters' C type.
        header: the header that declares it.
        reads_past: bytes behind an input row that it may read; it does not use them.
        is_compact: whether its constants are in their small layout.
    """

    function: str
    fields: tuple[tuple[str, int | str | Array], ...]
    scratch_bytes: int
    struct: str
    header: str
    reads_past: int = 0
    is_compact: bool = False

    @property
    def constant_bytes(self) -> int:
        """Flash of its tables."""
        return sum(v.data.nbytes for _, v in self.fields if isinstance(v, Array))


@dataclass(frozen=True)
class Kernel:
    """A kernel: the layer type it works on, whether it takes a layer, and the call it makes.

    Attributes:
        layer: the layer type.
        accepts: whether it takes a layer of the program.
        pack: its call.
        reads_planes: the planes, if any, that it reads faster than pixels; `pack` takes them as
            `reads`.
        writes_planes: whether it can write such planes; `pack` takes them as `writes`.
        takes_room: whether `pack` takes `room`, bytes of scratch; less costs instructions.
        compact: what a smaller layout of its constants saves; `pack` takes it as `compact=True`.
    """

    layer: type[Layer]
    accepts: Callable[[Any, Program], bool]
    pack: Callable[..., Call]
    reads_planes: Callable[[Any, Program], Planes | None] | None = None
    writes_planes: Callable[[Any, Program, Planes], bool] | None = None
    takes_room: bool = False
    compact: Callable[[Any, Program], Compact] | None = None


def call(
    function: str,
    scratch_bytes: int = 0,
    stem: str | None = None,
    **fields: int | str | NDArray[Any] | Array,
) -> Call:
    """A Call whose struct and header are named after `stem` (the function's name by default)."""
    stem = stem or function
    wrapped = tuple(
        (
            name,
            Array(v) if isinstance(v, np.ndarray) else v if isinstance(v, str | Array) else int(v),
        )
        for name, v in fields.items()
    )
    return Call(function, wrapped, scratch_bytes, f"{stem}_t", f"{stem}.h")


def folded_bias(
    bias: NDArray[np.int32], weights: NDArray[np.int8], zero_point: int
) -> NDArray[np.int32]:
    """Gives bias - zero_point * (sum of weights): what a kernel adds that reads inputs uncentred.

    Args:
        bias: int32 (channels,).
        weights: int8 (channels, ...).
        zero_point: of the input, in [-128, 127].
    """
    sums = weights.reshape(len(weights), -1).astype(np.int64).sum(axis=1)
    folded: NDArray[np.int32] = (bias.astype(np.int64) - zero_point * sums).astype(np.int32)
    return folded
