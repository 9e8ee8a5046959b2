"""The detectors of a build, in integers: measured in the study exactly as they would be shipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class IntegerMethod:
    """A detector of `vadgen build`.

    Attributes:
        name: as `--detectors` takes it.
        title: for people.
        family: as of `Method`.
        build: recipe keys that make it.
    """

    name: str
    title: str
    family: str
    build: Mapping[str, str]


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
    )
}
