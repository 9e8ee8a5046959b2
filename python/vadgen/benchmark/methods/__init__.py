"""Detectors of the study, in floats: found by module scan, fitted and scored by one protocol."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from vadgen.benchmark.methods.method import Method


@cache
def methods() -> dict[str, Method]:
    """Every method by name: the modules of this package declare theirs in `METHODS`."""
    modules = (import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    found = [method for module in modules for method in getattr(module, "METHODS", ())]
    return {method.name: method for method in found}
