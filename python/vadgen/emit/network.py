"""TFLite's operators as TensorFlow Lite Micro's op resolver registers them."""

from __future__ import annotations

from collections.abc import Iterable

from vadgen.errors import VadgenError

_REGISTERED = {
    "ADD": "AddAdd",
    "AVERAGE_POOL_2D": "AddAveragePool2D",
    "CONCATENATION": "AddConcatenation",
    "CONV_2D": "AddConv2D",
    "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D",
    "FULLY_CONNECTED": "AddFullyConnected",
    "GATHER": "AddGather",
    "HARD_SWISH": "AddHardSwish",
    "LOGISTIC": "AddLogistic",
    "MAXIMUM": "AddMaximum",
    "MAX_POOL_2D": "AddMaxPool2D",
    "MEAN": "AddMean",
    "MUL": "AddMul",
    "PAD": "AddPad",
    "QUANTIZE": "AddQuantize",
    "RELU": "AddRelu",
    "RELU6": "AddRelu6",
    "RESHAPE": "AddReshape",
    "SOFTMAX": "AddSoftmax",
}


def registered(operators: Iterable[str]) -> list[str]:
    """Methods of `MicroMutableOpResolver` that register the operators, each once, in order of name.

    Raises:
        VadgenError: one is none that vadgen knows.
    """
    names = sorted(set(operators))
    unknown = [name for name in names if name not in _REGISTERED]
    if unknown:
        raise VadgenError(f"operator {unknown[0]} is not supported", "convert the model without it")
    return [_REGISTERED[name] for name in names]
