"""The built-in images of the self-test, and the digest of what a model makes of one.

They are computed, not stored: an image of 224 x 224 pixels would take 147 KiB of flash, a digest
takes 4 bytes. C twin: `vad_self_test.c`.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

COUNT = 2
"""Image 0 is noise, image 1 noise in squares of 4 x 4 pixels."""


def pattern(index: int, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Built-in image `index`, uint8 (height, width, channels).

    square = mix((y >> 2 index) << 16 ^ x >> 2 index); value = mix(square + channel) >> 24
    """
    shift = np.uint32(2 * index)
    y = np.arange(height, dtype=np.uint32)[:, None] >> shift
    x = np.arange(width, dtype=np.uint32) >> shift
    square = _mix(((y << np.uint32(16)) ^ x).astype(np.uint32))
    channel = np.arange(channels, dtype=np.uint32)
    values = _mix((square[..., None] + channel).astype(np.uint32))
    return (values >> np.uint32(24)).astype(np.uint8)


def digest(
    outputs: Sequence[NDArray[np.int8]], score: int, cells: NDArray[np.uint32] | None
) -> int:
    """The digest that the device must come to.

    Args:
        outputs: int8 (rows, width, channels) each.
        score: of the image, 0 without a detector.
        cells: uint32, row by row; None without a detector.
    """
    total = 0
    for index, output in enumerate(outputs):
        for y, row in enumerate(output):
            place = (index << 16 | y).to_bytes(4, "little")
            total += zlib.crc32(row.tobytes(), zlib.crc32(place))
    head = (total & 0xFFFFFFFF).to_bytes(4, "little") + score.to_bytes(4, "little")
    tail = b"" if cells is None else cells.astype("<u4").tobytes()
    return zlib.crc32(tail, zlib.crc32(head))


def _mix(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Every bit of x changes about half of the result's."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))
