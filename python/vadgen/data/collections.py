"""Data sets of many parts, by name: which folder holds one, what it lacks, where it is had."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from vadgen.data import elpv, mvtec, realiad, visa
from vadgen.data.dataset import Dataset, visible
from vadgen.data.folder import load_dataset
from vadgen.errors import VadgenError


@dataclass(frozen=True)
class Kind:
    """One data set that the study knows.

    Attributes:
        title: for people.
        categories: the published ones, in the publisher's order; empty where there is no list.
        source: where it is had.
        layout: what its root must hold, for errors.
        detect: whether a folder is its root.
        load: its parts.
    """

    title: str
    categories: tuple[str, ...]
    source: str
    layout: str
    detect: Callable[[Path], bool]
    load: Callable[[Path], tuple[Dataset, ...]]


def _mvtec_roots(root: Path) -> list[Path]:
    """The parts below a root, or the root itself when it is one."""
    if mvtec.detect(root):
        return [root]
    return [folder for folder in visible(root) if folder.is_dir() and mvtec.detect(folder)]


def _load_mvtec(root: Path) -> tuple[Dataset, ...]:
    return tuple(mvtec.load(folder) for folder in _mvtec_roots(root))


def _load_folder(root: Path) -> tuple[Dataset, ...]:
    return (load_dataset(root),)


KINDS = {
    "mvtec": Kind(
        "MVTec AD",
        mvtec.CATEGORIES,
        mvtec.SOURCE,
        "folders of parts, each with train/good, test/ and ground_truth/",
        lambda root: bool(_mvtec_roots(root)),
        _load_mvtec,
    ),
    "visa": Kind(
        "VisA", visa.CATEGORIES, visa.SOURCE, f"{visa.SPLIT} and its parts", visa.detect, visa.load
    ),
    "realiad": Kind(
        "Real-IAD",
        realiad.CATEGORIES,
        realiad.SOURCE,
        "realiad_1024/ (or _512, _256) and realiad_jsons/",
        realiad.detect,
        realiad.load,
    ),
    "elpv": Kind(
        "ELPV", elpv.CATEGORIES, elpv.SOURCE, "labels.csv and images/", elpv.detect, elpv.load
    ),
    "folder": Kind(
        "own pictures",
        (),
        "name a folder of good pictures, or one with train/good and test/",
        "pictures, or train/good",
        lambda root: True,
        _load_folder,
    ),
}


def open_collection(
    name: str, roots: Sequence[Path], views: Collection[str] = realiad.VIEWS
) -> tuple[Dataset, ...]:
    """The parts of a data set, from the first of the folders that holds it.

    `folder` takes every root that is none of the other data sets'. ELPV needs no root when its
    package is installed.

    Raises:
        VadgenError: unknown name, no such folder, or what its root lacks and where it is had.
    """
    if name not in KINDS:
        near = difflib.get_close_matches(name, KINDS, n=1) or sorted(KINDS)
        raise VadgenError(f"unknown data set '{name}'", f"did you mean {', '.join(near)}?")
    for root in roots:
        if not root.is_dir():
            raise VadgenError(f"no such folder: {root}", "check --data")
    kind = KINDS[name]
    if name == "folder":
        named = [k for other, k in KINDS.items() if other != "folder"]
        own = [r for r in roots if mvtec.detect(r) or not any(k.detect(r) for k in named)]
        found = tuple(load_dataset(root) for root in own)
    else:
        holding = [root.resolve() for root in roots if kind.detect(root)]
        if not holding and name == "elpv":
            holding = [elpv.package_root()]
        if not holding:
            looked = ", ".join(str(root) for root in roots) or "no folder given"
            raise VadgenError(
                f"{kind.title} is not in {looked}: its root holds {kind.layout}",
                f"get {kind.source}",
            )
        found = (
            realiad.load(holding[0], views)
            if name == "realiad"
            else tuple(part for root in holding for part in kind.load(root))
        )
    if not found:
        raise VadgenError(f"no folder of --data holds {kind.title}", kind.source)
    return found
