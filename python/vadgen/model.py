"""Frozen values that pass between the steps: the int8 graph, the detector's tables, the model.

Everything before `Model` may use floats, torch and big libraries; everything after it is
integers, numpy and text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Padding = Literal["SAME", "VALID"]
Activation = Literal["NONE", "RELU", "RELU_N1_TO_1", "RELU6"]


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor of a `.tflite` graph.

    Attributes:
        name: name in the file.
        shape: dimensions as in the file, batch first (NHWC for images; OHWI for CONV_2D weights,
            1HWO for DEPTHWISE_CONV_2D weights).
        dtype: "int8" or "int32".
        scales: float32 (1,) per tensor or (channels,) per channel; empty when not quantized.
        zero_point: int, 0 for weights and biases.
        axis: quantized dimension of a per-channel tensor, 0 otherwise.
        data: the constant's values in `shape`, or None for an activation.
    """

    name: str
    shape: tuple[int, ...]
    dtype: Literal["int8", "int32"]
    scales: NDArray[np.float32]
    zero_point: int = 0
    axis: int = 0
    data: NDArray[Any] | None = None

    @property
    def scale(self) -> float:
        """The single scale of a per-tensor quantized tensor (float32 value)."""
        return float(self.scales[0])


@dataclass(frozen=True)
class ConvOptions:
    """CONV_2D and DEPTHWISE_CONV_2D; `depth_multiplier` is 0 for CONV_2D."""

    stride_h: int = 1
    stride_w: int = 1
    padding: Padding = "SAME"
    activation: Activation = "NONE"
    dilation_h: int = 1
    dilation_w: int = 1
    depth_multiplier: int = 0


@dataclass(frozen=True)
class PoolOptions:
    """AVERAGE_POOL_2D and MAX_POOL_2D."""

    filter_h: int
    filter_w: int
    stride_h: int
    stride_w: int
    padding: Padding = "VALID"
    activation: Activation = "NONE"


@dataclass(frozen=True)
class ActivationOptions:
    """ADD, MUL and FULLY_CONNECTED: the fused activation."""

    activation: Activation = "NONE"
    keep_num_dims: bool = False


@dataclass(frozen=True)
class ConcatOptions:
    """CONCATENATION."""

    axis: int
    activation: Activation = "NONE"


@dataclass(frozen=True)
class GatherOptions:
    """GATHER; the indices are the second input, a constant int32 tensor."""

    axis: int
    batch_dims: int = 0


@dataclass(frozen=True)
class SoftmaxOptions:
    """SOFTMAX."""

    beta: float = 1.0


@dataclass(frozen=True)
class MeanOptions:
    """MEAN; the axes are the second input, a constant int32 tensor."""

    keep_dims: bool = False


@dataclass(frozen=True)
class NoOptions:
    """The other operators: what they need is in their inputs and outputs."""


Options = (
    ConvOptions
    | PoolOptions
    | ActivationOptions
    | ConcatOptions
    | GatherOptions
    | SoftmaxOptions
    | MeanOptions
    | NoOptions
)


@dataclass(frozen=True)
class Op:
    """One operator: TFLite's builtin name, tensor indices (-1: absent optional input), options."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Options


@dataclass(frozen=True, eq=False)
class Graph:
    """An int8 graph as it stands in a `.tflite`, operators in execution order.

    Attributes:
        tensors: all tensors; indices are those of the file.
        ops: operators in order.
        inputs: indices of the graph's inputs.
        outputs: indices of the graph's outputs; a backbone's taps, finest first.
    """

    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
