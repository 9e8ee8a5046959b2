"""TFLite Micro's own interpreter (PyPI `tflite-micro`): what every other engine must equal."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vadgen.errors import VadgenError
from vadgen.model import Graph
from vadgen.quant.schema import load_runtime
from vadgen.quant.tflite_reader import read_tflite


def run_tflm(tflite: bytes, inputs: NDArray[np.int8]) -> list[list[NDArray[np.int8]]]:
    """Run a one-input model on each image; returns outputs[image][output], int8, batch first.

    The reference kernels with double rounding: the integer contract.

    Args:
        tflite: bytes of an int8 `.tflite`.
        inputs: int8 (N, H, W, C), or (N, ...) for another input shape (1, ...).

    Raises:
        VadgenError: the model is not supported, the inputs do not fit it, TFLite Micro refuses
            it, or `tflite-micro` is not installed (code TOOL_MISSING).
    """
    graph = read_tflite(tflite)
    runtime = load_runtime()
    if len(graph.inputs) != 1:
        raise VadgenError(
            f"the model has {len(graph.inputs)} inputs", "give a model with one input"
        )
    shape = graph.tensors[graph.inputs[0]].shape
    if inputs.dtype != np.int8 or (1, *inputs.shape[1:]) != shape:
        raise VadgenError(
            f"inputs are {inputs.dtype} {inputs.shape[1:]}, the model wants int8 {shape[1:]}",
            "give images of the model's input size",
        )
    try:
        interpreter = runtime.Interpreter.from_bytes(tflite, arena_size=arena_bound(graph))
        results = []
        for image in inputs:
            interpreter.set_input(image[np.newaxis], 0)
            interpreter.invoke()
            results.append([interpreter.get_output(i) for i in range(len(graph.outputs))])
    except (RuntimeError, ValueError) as error:
        raise VadgenError(
            f"TFLite Micro refuses the model ({error})",
            "its own message stands above; convert the model again",
        ) from error
    return results


def arena_bound(graph: Graph) -> int:
    """Enough for every activation at once and TFLM's records; pages never touched cost nothing.

    TFLM's own default, ten times the file, is too small for a network of few weights and large
    images.
    """
    activations = sum(math.prod(t.shape) + 16 for t in graph.tensors if t.data is None)
    channels = sum(t.scales.size for t in graph.tensors)
    records = 1024 * (len(graph.tensors) + len(graph.ops))
    return 2 * activations + 32 * channels + records + 65536
