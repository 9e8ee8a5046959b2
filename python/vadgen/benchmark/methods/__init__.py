"""Detectors of the study, in floats: found by module scan, fitted and scored by one protocol."""

from __future__ import annotations

import pkgutil
from dataclasses import replace
from functools import cache, partial
from importlib import import_module

from vadgen.benchmark.methods.method import Method
from vadgen.errors import VadgenError


@cache
def methods() -> dict[str, Method]:
    """Every method by name: the modules of this package declare theirs in `METHODS`."""
    modules = (import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    found = [method for module in modules for method in getattr(module, "METHODS", ())]
    return {method.name: method for method in found}


def method_of(name: str) -> Method:
    """The method that a name means: its own, or `name@epochs` to train for other than the paper's.

    Raises:
        VadgenError: there is none, or it is not trained, or for no number of epochs.
    """
    own, mark, epochs = name.partition("@")
    method = methods().get(own)
    if method is None:
        raise VadgenError(f"unknown detector '{own}'", f"known are {', '.join(sorted(methods()))}")
    if not mark:
        return method
    if not method.epochs:
        raise VadgenError(f"{own} is not trained, so '{name}' has no meaning", f"write {own}")
    if not epochs.isdecimal() or int(epochs) == 0:
        raise VadgenError(
            f"'{name}' names no number of epochs", f"write {own}@20, or {own} for {method.epochs}"
        )
    fit = partial(method.fit, epochs=int(epochs))
    return replace(method, name=name, fit=fit, epochs=int(epochs))
