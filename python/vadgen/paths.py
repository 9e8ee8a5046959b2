"""Where templates/, boards/ and firmware/ lie: the checkout first, the installed wheel second."""

from __future__ import annotations

import os
from pathlib import Path

_HERE = Path(__file__).resolve().parent


def _root() -> Path:
    checkout = _HERE.parents[1]
    if (checkout / "templates").is_dir() and (checkout / "firmware").is_dir():
        return checkout
    return _HERE / "_share"


def templates() -> Path:
    """Folder of the Jinja2 templates."""
    return _root() / "templates"


def boards() -> Path:
    """Folder of the board descriptions."""
    return _root() / "boards"


def firmware() -> Path:
    """Folder of the hand-written firmware: lib/, src/, platform/."""
    return _root() / "firmware"


def cache() -> Path:
    """Folder for cached features, conversions and downloaded weights.

    `VADGEN_CACHE` if set, else `.cache/vadgen` below the checkout or the user's cache folder.
    """
    given = os.environ.get("VADGEN_CACHE")
    if given:
        return Path(given)
    root = _root()
    if root == _HERE / "_share":
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        return Path(base) / "vadgen"
    return root / ".cache" / "vadgen"
