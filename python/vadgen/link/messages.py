"""All messages of the link, once: Python packs by these classes, C by the header made from them.

A frame is a head (version, kind, sequence number), a message and a CRC-32. A message is fixed
fields in the order of the class, little-endian and naturally aligned, and perhaps bytes that fill
the rest. `tools/renew_link.py` renders the classes to `vad_link_messages.h`.
"""

from __future__ import annotations

import dataclasses
import enum
import struct
import typing
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

VERSION = 1
BAUD = 115200

HEAD = struct.Struct("<BBH")
"""Version, kind, sequence number."""
CRC_BYTES = 4

MAX_WINDOW = 8
"""Rows that may be sent before the first of them is asked for again."""


@dataclass(frozen=True)
class CType:
    """How a field lies in a message.

    Attributes:
        name: of the C type; "" for bytes that fill the rest of the message.
        code: of the `struct` module.
        count: elements of an array, 0 for a single value.
    """

    name: str
    code: str
    count: int = 0


U8 = Annotated[int, CType("uint8_t", "B")]
U16 = Annotated[int, CType("uint16_t", "H")]
U32 = Annotated[int, CType("uint32_t", "I")]
Text16 = Annotated[str, CType("char", "s", 16)]
Text32 = Annotated[str, CType("char", "s", 32)]
Digest = Annotated[bytes, CType("uint8_t", "s", 32)]
Rest = Annotated[bytes, CType("", "")]


class Want(enum.IntFlag):
    """What `Begin` asks for beside the result."""

    NOTHING = 0
    OUTPUTS = 1


class Code(enum.IntEnum):
    """Why a request was refused."""

    DAMAGED = 1
    TOO_LONG = 2
    VERSION = 3
    KIND = 4
    LENGTH = 5
    JOB = 6
    UNFINISHED = 7
    RANGE = 8
    MODEL = 9


CODE_TEXT = {
    Code.DAMAGED: "a frame came damaged",
    Code.TOO_LONG: "a frame was longer than the device takes",
    Code.VERSION: "the device speaks another version of the link",
    Code.KIND: "the device does not know this kind of message",
    Code.LENGTH: "a message has a length that its kind does not allow",
    Code.JOB: "the device is not working on this image",
    Code.UNFINISHED: "rows of the image are still missing",
    Code.RANGE: "a number in the message is out of range",
    Code.MODEL: "the model refused an image",
}


@dataclass(frozen=True)
class Message:
    """What one frame says; `KIND` is below 0x80 for requests of the host."""

    KIND: ClassVar[int]


@dataclass(frozen=True)
class Hello(Message):
    """Asks who is there; answered by `Identity`."""

    KIND: ClassVar[int] = 0x01


@dataclass(frozen=True)
class Begin(Message):
    """Starts an image under a number of the host's choice; answered by `Next`.

    The same number again starts nothing: it is answered as `Query` is.
    """

    KIND: ClassVar[int] = 0x02
    job: U32
    wants: U32


@dataclass(frozen=True)
class Row(Message):
    """Row `y` of the input; answered by `Next`, after the last row by `Result`."""

    KIND: ClassVar[int] = 0x03
    job: U32
    y: U16
    zero: U16
    data: Rest


@dataclass(frozen=True)
class Query(Message):
    """Asks how far an image is; answered by `Next` or `Result`."""

    KIND: ClassVar[int] = 0x04
    job: U32


@dataclass(frozen=True)
class GetCells(Message):
    """Asks for scores of `count` cells, or as many as there are; answered by `Cells`."""

    KIND: ClassVar[int] = 0x05
    job: U32
    first: U32
    count: U32


@dataclass(frozen=True)
class SetThreshold(Message):
    """Sets the score above which an image is anomalous; answered by `Threshold`."""

    KIND: ClassVar[int] = 0x06
    value: U32


@dataclass(frozen=True)
class GetCounters(Message):
    """Asks for the counters; answered by `Counters`."""

    KIND: ClassVar[int] = 0x07


@dataclass(frozen=True)
class SelfTest(Message):
    """Runs a built-in image; answered by `SelfTested`. An unfinished image is dropped."""

    KIND: ClassVar[int] = 0x08
    index: U32


@dataclass(frozen=True)
class Abort(Message):
    """Drops the image; answered by `Ready`."""

    KIND: ClassVar[int] = 0x09


@dataclass(frozen=True)
class Reset(Message):
    """As after power-on: no image, the shipped threshold, counters 0; answered by `Ready`."""

    KIND: ClassVar[int] = 0x0A


@dataclass(frozen=True)
class Identity(Message):
    """Who the device is and what it takes."""

    KIND: ClassVar[int] = 0x81
    board: Text32
    firmware: Text16
    model: Digest
    threshold: U32
    shipped_threshold: U32
    row_bytes: U32
    height: U16
    width: U16
    channels: U16
    n_outputs: U16
    cell_rows: U16
    cell_cols: U16
    abi: U16
    window: U16
    n_tests: U16
    zero: U16


@dataclass(frozen=True)
class Next(Message):
    """Row `y` is the next that is taken; rows below `until` may be sent."""

    KIND: ClassVar[int] = 0x82
    job: U32
    y: U16
    until: U16


@dataclass(frozen=True)
class Output(Message):
    """A row of an output of the network, while the image is computed."""

    KIND: ClassVar[int] = 0x83
    job: U32
    output: U16
    y: U16
    data: Rest


@dataclass(frozen=True)
class Result(Message):
    """The answer for an image; of the device's own (a camera's), with number 0 and no cells."""

    KIND: ClassVar[int] = 0x84
    job: U32
    score: U32
    threshold: U32
    n_cells: U32
    is_anomalous: U32


@dataclass(frozen=True)
class Cells(Message):
    """Scores of cells, uint32, from the cell `first` on."""

    KIND: ClassVar[int] = 0x85
    job: U32
    first: U32
    values: Rest


@dataclass(frozen=True)
class Threshold(Message):
    """The threshold in use; a volatile one is the shipped one again after a reset."""

    KIND: ClassVar[int] = 0x86
    value: U32
    shipped: U32
    is_volatile: U32


@dataclass(frozen=True)
class Counters(Message):
    """Since the last reset: images, frames by their fate, rows that were not awaited.

    And since power-on: how often bytes were lost for want of a place, the stack's greatest use.
    """

    KIND: ClassVar[int] = 0x87
    images: U32
    frames: U32
    damaged: U32
    too_long: U32
    refused: U32
    misplaced: U32
    overruns: U32
    stack_bytes: U32


@dataclass(frozen=True)
class SelfTested(Message):
    """A self-test's digest over outputs, cells and score; it passed when it is the expected one."""

    KIND: ClassVar[int] = 0x88
    index: U32
    expected: U32
    digest: U32
    score: U32


@dataclass(frozen=True)
class Ready(Message):
    """Done; no image is under way."""

    KIND: ClassVar[int] = 0x89


@dataclass(frozen=True)
class Refused(Message):
    """A request was refused: the reason's code, the request's kind, a number about it."""

    KIND: ClassVar[int] = 0x8F
    code: U16
    kind: U16
    detail: U32


def refusal(refused: Refused) -> str:
    """Why a request was refused, in words."""
    try:
        return CODE_TEXT[Code(refused.code)]
    except ValueError:
        return f"the device refused a request with code {refused.code}"


MESSAGES: tuple[type[Message], ...] = (
    *(Hello, Begin, Row, Query, GetCells, SetThreshold, GetCounters, SelfTest, Abort, Reset),
    *(Identity, Next, Output, Result, Cells, Threshold, Counters, SelfTested, Ready, Refused),
)
BY_KIND = {message.KIND: message for message in MESSAGES}


@dataclass(frozen=True)
class Field:
    """A field of a message: its name and how it lies there."""

    name: str
    type: CType


@dataclass(frozen=True)
class Layout:
    """How a message lies in a frame.

    Attributes:
        fields: of fixed length, in order.
        rest: name of the field that fills the rest; "" when the message's length is fixed.
        struct: the fixed fields as the `struct` module packs them.
    """

    fields: tuple[Field, ...]
    rest: str
    struct: struct.Struct


def pack(message: Message) -> bytes:
    """The message as it lies in a frame."""
    layout = LAYOUTS[type(message)]
    values = [_raw(getattr(message, field.name)) for field in layout.fields]
    tail: bytes = getattr(message, layout.rest) if layout.rest else b""
    return layout.struct.pack(*values) + tail


def unpack(kind: int, data: bytes) -> Message | None:
    """The message of that kind; None for an unknown kind or a length that it does not allow."""
    found = BY_KIND.get(kind)
    if found is None:
        return None
    layout = LAYOUTS[found]
    size = layout.struct.size
    if len(data) < size or (len(data) > size and not layout.rest):
        return None
    values: dict[str, Any] = {
        field.name: _text(value) if field.type.name == "char" else value
        for field, value in zip(layout.fields, layout.struct.unpack(data[:size]), strict=True)
    }
    if layout.rest:
        values[layout.rest] = data[size:]
    return found(**values)


def _layout(kind: type[Message]) -> Layout:
    hints = typing.get_type_hints(kind, include_extras=True)
    every = [Field(f.name, hints[f.name].__metadata__[0]) for f in dataclasses.fields(kind)]
    fixed = tuple(field for field in every if field.type.name)
    codes = "".join(f"{field.type.count or ''}{field.type.code}" for field in fixed)
    rest = next((field.name for field in every if not field.type.name), "")
    return Layout(fixed, rest, struct.Struct(f"<{codes}"))


def _raw(value: Any) -> Any:
    return value.encode("ascii", "replace") if isinstance(value, str) else value


def _text(value: bytes) -> str:
    return value.partition(b"\0")[0].decode("ascii", "replace")


LAYOUTS = {message: _layout(message) for message in MESSAGES}
