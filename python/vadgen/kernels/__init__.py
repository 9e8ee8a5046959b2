"""The kernels a board may use: which layers each takes, and how it wants its constants.

A kernel set is a module with `KERNELS`, tried in order; `select` walks the sets a board names.
"""

from __future__ import annotations

import importlib

from vadgen.errors import VadgenError
from vadgen.kernels.base import Call, Kernel
from vadgen.lower import Layer, Program


def kernel_set(name: str) -> tuple[Kernel, ...]:
    """The kernels of the set `name`, in the order in which they are tried."""
    kernels: tuple[Kernel, ...] = importlib.import_module(f"vadgen.kernels.{name}").KERNELS
    return kernels


def find(layer: Layer, program: Program, sets: tuple[str, ...]) -> Kernel:
    """The first kernel in `sets` that takes `layer`.

    Raises:
        VadgenError: a size of the layer is beyond every kernel's limits.
    """
    for name in sets:
        for kernel in kernel_set(name):
            if isinstance(layer, kernel.layer) and kernel.accepts(layer, program):
                return kernel
    raise VadgenError(
        f"layer {layer.label}: its sizes are beyond what the kernels take",
        "make its width, channels or kernel smaller",
    )


def select(layer: Layer, program: Program, sets: tuple[str, ...]) -> Call:
    """The call of the first kernel in `sets` that takes `layer`, from pixels to pixels.

    Raises:
        VadgenError: a size of the layer is beyond every kernel's limits.
    """
    return find(layer, program, sets).pack(layer, program)
