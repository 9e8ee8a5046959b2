"""Frozen dataclasses to a `.npz` file and back: arrays beside a JSON tree, no code.

Only dataclasses of vadgen itself are made when reading, and only by their fields, so that a file
from a stranger can hold wrong numbers but run nothing.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadgen.errors import VadgenError


def save_frozen(path: Path, value: Any) -> None:
    """Writes a tree of frozen dataclasses, tuples, numbers, strings, None and arrays."""
    arrays: dict[str, NDArray[Any]] = {}
    tree = json.dumps(_encode(value, arrays), sort_keys=True)
    with path.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, tree=np.array(tree), **arrays)


def load_frozen(path: Path) -> Any:
    """Reads what `save_frozen` wrote.

    Raises:
        VadgenError: missing, damaged, or not of this version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return _decode(json.loads(str(arrays.pop("tree"))), arrays)
    except Exception as error:  # zipfile, json, numpy and the dataclasses all have their own
        raise VadgenError(f"{path} cannot be read: {error}", "build again") from error


def _encode(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    if isinstance(value, np.ndarray):
        name = f"a{len(arrays)}"
        arrays[name] = value
        return {"array": name}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        fields = {f.name: _encode(getattr(value, f.name), arrays) for f in dataclasses.fields(kind)}
        return {"class": f"{kind.__module__}:{kind.__qualname__}", "fields": fields}
    if isinstance(value, tuple):
        return [_encode(item, arrays) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    assert value is None or isinstance(value, bool | int | float | str), type(value)
    return value


def _decode(tree: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if isinstance(tree, list):
        return tuple(_decode(item, arrays) for item in tree)
    if not isinstance(tree, dict):
        return tree
    if "array" in tree:
        return arrays[tree["array"]]
    module, _, name = tree["class"].partition(":")
    if not module.startswith("vadgen."):
        raise ValueError(f"class {tree['class']}")
    kind = getattr(importlib.import_module(module), name)
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise ValueError(f"class {tree['class']}")
    return kind(**{k: _decode(v, arrays) for k, v in tree["fields"].items()})
