"""The flatbuffers schema of `.tflite` files, as PyPI's `tflite-micro` ships it, and its names."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from vadgen.errors import Exit, VadgenError

IDENTIFIER = b"TFL3"

# TFLite's operator versions that first took int8 (TensorFlow, `register_ref.cc`): older
# versions mean uint8 or float to TFLite; TFLite Micro does not look at them.
INT8_VERSIONS = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "ADD": 2,
    "MUL": 2,
    "MAXIMUM": 2,
    "GATHER": 2,
    "HARD_SWISH": 1,
    "LOGISTIC": 2,
    "PAD": 2,
    "AVERAGE_POOL_2D": 2,
    "MAX_POOL_2D": 2,
    "MEAN": 2,
    "RESHAPE": 1,
    "CONCATENATION": 2,
    "FULLY_CONNECTED": 4,
    "SOFTMAX": 2,
    "RELU": 2,
    "RELU6": 2,
    "QUANTIZE": 2,
}


@cache
def load_schema() -> Any:
    """Return the generated flatbuffers module.

    Raises:
        VadgenError: `tflite-micro` is not installed (code TOOL_MISSING).
    """
    return _import("tflite_micro.tensorflow.lite.micro.python.schema_py_generated")


@cache
def load_runtime() -> Any:
    """Return the module that holds TFLite Micro's interpreter.

    Raises:
        VadgenError: `tflite-micro` is not installed (code TOOL_MISSING).
    """
    return _import("tflite_micro.python.tflite_micro.runtime")


def _import(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise VadgenError(
            f"the Python package tflite-micro cannot be imported ({error})",
            "install it: python -m pip install tflite-micro",
            Exit.TOOL_MISSING,
        ) from error


@cache
def enum_names(enum: str) -> dict[int, str]:
    """Names of a schema's enumeration by value, e.g. `enum_names("Padding")[0] == "SAME"`."""
    members = vars(getattr(load_schema(), enum))
    return {value: name for name, value in members.items() if isinstance(value, int)}
