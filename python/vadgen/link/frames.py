"""Frames: a zero, the COBS code of head, message and CRC-32, and a zero.

No other byte of a frame is zero, so a reader that lost its place finds the next frame. C twin:
`vad_frame.c`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from vadgen.link.messages import CRC_BYTES, HEAD, VERSION, Message, pack, unpack

_BLOCK = 254  # greatest number of bytes behind one code byte


@dataclass(frozen=True)
class Frame:
    """A frame that came whole.

    Attributes:
        version: of the sender's link; the head is the same in all versions.
        sequence: of the request that it answers; 0 for none.
        message: None when its version or kind is unknown or its length wrong.
    """

    version: int
    sequence: int
    message: Message | None


def encode(message: Message, sequence: int) -> bytes:
    """The frame of a message.

    Args:
        message: any.
        sequence: 0 to 65535.
    """
    body = HEAD.pack(VERSION, message.KIND, sequence) + pack(message)
    return b"\0" + stuff(body + zlib.crc32(body).to_bytes(CRC_BYTES, "little")) + b"\0"


def decode(block: bytes) -> Frame | None:
    """The frame between two zeros; None when it is damaged."""
    data = unstuff(block)
    if data is None or len(data) < HEAD.size + CRC_BYTES:
        return None
    body, crc = data[:-CRC_BYTES], int.from_bytes(data[-CRC_BYTES:], "little")
    version, kind, sequence = HEAD.unpack(body[: HEAD.size])
    if zlib.crc32(body) != crc:
        return None
    message = unpack(kind, body[HEAD.size :]) if version == VERSION else None
    return Frame(version, sequence, message)


def stuff(data: bytes) -> bytes:
    """COBS: the data without zeros, each zero named by the byte that counts the way to it."""
    out = bytearray()
    for piece in data.split(b"\0"):
        while len(piece) >= _BLOCK:
            out.append(_BLOCK + 1)
            out += piece[:_BLOCK]
            piece = piece[_BLOCK:]
        out.append(len(piece) + 1)
        out += piece
    return bytes(out)


def unstuff(block: bytes) -> bytes | None:
    """The data of a COBS block; None when it is none."""
    out = bytearray()
    at = 0
    while at < len(block):
        code = block[at]
        end = at + code
        if code == 0 or end > len(block):
            return None
        out += block[at + 1 : end]
        if code <= _BLOCK and end < len(block):
            out.append(0)
        at = end
    return bytes(out)


class FrameReader:
    """Finds frames in bytes that come in pieces of any length.

    Args:
        limit: bytes of a block above which it is thrown away unread.
    """

    def __init__(self, limit: int = 1 << 20) -> None:
        self._limit = limit
        self._held = bytearray()
        self.damaged = 0
        """Blocks that were no frame."""

    def take(self, data: bytes) -> Iterator[Frame]:
        """The frames that end in `data`."""
        *blocks, left = data.split(b"\0")
        for block in blocks:
            whole = bytes(self._held) + block
            self._held.clear()
            if not whole:
                continue
            frame = decode(whole) if len(whole) <= self._limit else None
            if frame is None:
                self.damaged += 1
            else:
                yield frame
        room = self._limit + 1 - len(self._held)
        self._held += left[: max(room, 0)]
