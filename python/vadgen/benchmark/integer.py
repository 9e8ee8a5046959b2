"""The detectors of a build, in integers: measured in the study exactly as they would be shipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from vadgen.benchmark.methods import cfa
from vadgen.benchmark.methods.method import EPOCHS_KEY, epochs_of
from vadgen.benchmark.methods.stfpm import EPOCHS


@dataclass(frozen=True)
class IntegerMethod:
    """A detector of `vadgen build`.

    Attributes:
        name: as `--detectors` takes it.
        title: for people.
        family: as of `Method`.
        build: recipe keys that make it.
        epochs: of training, the paper's; 0 for one that is not trained.
        effort: as of `Method`.
    """

    name: str
    title: str
    family: str
    build: Mapping[str, str]
    epochs: int = 0
    effort: int = 3


INTEGER = {
    method.name: method
    for method in (
        IntegerMethod("padim_int8", "PaDiM, diagonal, integers", "padim", {"detector": "padim"}),
        IntegerMethod(
            "padim_full_int8",
            "PaDiM, full covariance, integers",
            "padim",
            {"detector": "padim", "padim.variant": "full"},
        ),
        IntegerMethod(
            "patchcore_int8",
            "PatchCore, product-quantized, integers",
            "patchcore",
            {"detector": "patchcore"},
        ),
        IntegerMethod("stfpm_int8", "STFPM, integers", "stfpm", {"detector": "stfpm"}, EPOCHS),
        IntegerMethod("paste_int8", "PaSTe, integers", "paste", {"detector": "paste"}, EPOCHS),
        IntegerMethod("cfa_int8", "CFA, integers", "cfa", {"detector": "cfa"}, cfa.EPOCHS),
    )
}


def integer_of(name: str) -> IntegerMethod | None:
    """The integer detector that a name means, `stfpm_int8@20` too; None for one in floats.

    Raises:
        VadgenError: see `epochs_of`.
    """
    method = INTEGER.get(name.partition("@")[0])
    epochs = None if method is None else epochs_of(name, method.epochs)
    if method is None or epochs is None:
        return method
    build = {**method.build, EPOCHS_KEY: str(epochs)}
    return replace(method, name=name, build=build, epochs=epochs)
