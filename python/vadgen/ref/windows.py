"""Cuts sliding windows out of a tensor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vadgen.lower import Window


def windows(
    layer: Window, x: NDArray[np.int64], out_rows: int, out_width: int, fill: int
) -> NDArray[np.int64]:
    """Windows of `x` (H, W, C) as (out_rows, out_width, kernel_h, kernel_w, C).

    Pixels outside the input are `fill`.
    """
    rows, width, channels = x.shape
    padded = np.full(
        (
            max((out_rows - 1) * layer.stride_h + layer.kernel_h, rows + layer.pad_top),
            max((out_width - 1) * layer.stride_w + layer.kernel_w, width + layer.pad_left),
            channels,
        ),
        fill,
        dtype=x.dtype,
    )
    padded[layer.pad_top : layer.pad_top + rows, layer.pad_left : layer.pad_left + width] = x
    view = np.lib.stride_tricks.sliding_window_view(
        padded, (layer.kernel_h, layer.kernel_w), axis=(0, 1)
    )
    view = view[:: layer.stride_h, :: layer.stride_w][:out_rows, :out_width]
    return np.moveaxis(view, 2, 4)
