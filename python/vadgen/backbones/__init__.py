"""Float networks that make features: found by module scan, loaded by name."""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np

from vadgen.backbones.backbone import Backbone, Request
from vadgen.backbones.network import Network, trim
from vadgen.backbones.weights import RandomWeights, settle
from vadgen.errors import VadgenError

RANDOM = "random"
"""In place of a weights file: weights from the seed."""


@cache
def backbones() -> dict[str, Backbone]:
    """Every backbone by name: the modules of this package that have a `BACKBONE`."""
    modules = {
        info.name: import_module(f"{__name__}.{info.name}")
        for info in pkgutil.iter_modules(__path__)
    }
    return {
        name: module.BACKBONE for name, module in modules.items() if hasattr(module, "BACKBONE")
    }


def load_backbone(
    name: str,
    *,
    weights: Path | None = None,
    width: float = 1.0,
    taps: Sequence[int] | None = None,
    seed: int = 0,
) -> Network:
    """Build a backbone, trimmed at its deepest tap.

    Args:
        name: see `backbones`.
        weights: file of weights, `Path("random")` for weights from the seed; None for the
            published ones (random where there are none).
        width: multiplier of the channels.
        taps: numbers of the layers to tap, ascending; None for the backbone's own choice.
        seed: of random weights.

    Raises:
        VadgenError: unknown backbone or tap, no or wrong weights.
    """
    known = backbones()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=2, cutoff=0.4) or sorted(known)
        raise VadgenError(f"unknown backbone '{name}'", f"did you mean {' or '.join(near)}?")
    backbone = known[name]
    chosen = backbone.default_taps if taps is None else tuple(taps)
    if not chosen or list(chosen) != sorted(set(chosen)):
        raise VadgenError(f"taps {list(chosen)} are not ascending", "give each tap once, in order")
    if chosen[0] < 0 or chosen[-1] >= backbone.n_taps:
        raise VadgenError(
            f"backbone {name} has no tap {chosen[0] if chosen[0] < 0 else chosen[-1]}",
            f"taps are 0 to {backbone.n_taps - 1}; the default is {list(backbone.default_taps)}",
        )
    is_random = weights is not None and weights.name == RANDOM and not weights.exists()
    if is_random or (weights is None and not backbone.is_pretrained):
        rng = np.random.default_rng(seed)
        request = Request(width, None, RandomWeights(rng))
        return settle(_tapped(backbone, backbone.build(request), chosen), rng)
    return _tapped(backbone, backbone.build(Request(width, weights)), chosen)


def _tapped(backbone: Backbone, network: Network, taps: tuple[int, ...]) -> Network:
    """The network cut behind its deepest tap."""
    indices = tuple(_last_of(network, backbone.tap_node(tap)) for tap in taps)
    return trim(replace(network, taps=indices))


def _last_of(network: Network, prefix: str) -> int:
    """Index of the last node of a block."""
    return max(
        index
        for index, node in enumerate(network.nodes)
        if node.name == prefix or node.name.startswith(f"{prefix}.")
    )
