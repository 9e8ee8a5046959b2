"""Runs a whole Program with the numpy kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vadgen.lower import (
    Add,
    Concat,
    Conv2d,
    Copy,
    DepthwiseConv2d,
    Gather,
    GroupConv2d,
    Layer,
    Lut,
    Maximum,
    Mean,
    Mul,
    Pad,
    Pool,
    Program,
    Softmax,
    Value,
)
from vadgen.ref.add import add
from vadgen.ref.concat import concat
from vadgen.ref.conv2d import conv2d
from vadgen.ref.copy import copy
from vadgen.ref.depthwise_conv2d import depthwise_conv2d
from vadgen.ref.gather import gather
from vadgen.ref.group_conv2d import group_conv2d
from vadgen.ref.lut import lut
from vadgen.ref.maximum import maximum
from vadgen.ref.mean import mean
from vadgen.ref.mul import mul
from vadgen.ref.pad import pad
from vadgen.ref.pool import pool
from vadgen.ref.softmax import softmax

Int8 = NDArray[np.int8]


def run_layer(layer: Layer, values: tuple[Value, ...], xs: list[Int8]) -> Int8:
    """Output of one layer for its inputs `xs`, each int8 (H, W, C)."""
    match layer:
        case Conv2d():
            return conv2d(layer, values, xs[0])
        case GroupConv2d():
            return group_conv2d(layer, values, xs[0])
        case DepthwiseConv2d():
            return depthwise_conv2d(layer, values, xs[0])
        case Pool():
            return pool(layer, values, xs[0])
        case Add():
            return add(layer, xs[0], xs[1])
        case Mul():
            return mul(layer, xs[0], xs[1])
        case Maximum():
            return maximum(xs[0], xs[1])
        case Gather():
            return gather(layer, xs[0])
        case Pad():
            return pad(layer, values, xs[0])
        case Mean():
            return mean(layer, xs[0])
        case Lut():
            return lut(layer, xs[0])
        case Softmax():
            return softmax(layer, xs[0])
        case Concat():
            return concat(xs)
        case Copy():
            return copy(layer, values, xs[0])
    raise AssertionError(f"no reference kernel for {type(layer).__name__}")


def run_program(program: Program, x: Int8) -> list[Int8]:
    """All values of one inference.

    Args:
        program: integer layers.
        x: int8, any shape with the input's number of elements.

    Returns:
        One int8 (H, W, C) array a value; `program.outputs` indexes it.
    """
    first = program.values[0]
    results = [np.asarray(x, dtype=np.int8).reshape(first.rows, first.width, first.channels)]
    for layer in program.layers:
        results.append(run_layer(layer, program.values, [results[i] for i in layer.inputs]))
    return results
