"""Detectors of the study, in floats: found by module scan, fitted and scored by one protocol."""

from __future__ import annotations

import pkgutil
from dataclasses import replace
from functools import cache, partial
from importlib import import_module

from vadgen.benchmark.methods.method import EPOCHS_KEY, Method, epochs_of
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
    own = name.partition("@")[0]
    method = methods().get(own)
    if method is None:
        raise VadgenError(f"unknown detector '{own}'", f"known are {', '.join(sorted(methods()))}")
    epochs = epochs_of(name, method.epochs)
    if epochs is None:
        return method
    build = {**method.build, EPOCHS_KEY: str(epochs)}
    fit = partial(method.fit, epochs=epochs)
    return replace(method, name=name, fit=fit, build=build, epochs=epochs)
