"""Finding out what a folder holds; a plain folder of pictures of good parts."""

from __future__ import annotations

from pathlib import Path

from vadgen.data import mvtec
from vadgen.data.dataset import GOOD, Dataset, pictures, visible
from vadgen.errors import VadgenError


def load_dataset(root: Path) -> Dataset:
    """List a data set: MVTec layout if there is train/ or test/, else a plain folder.

    Files are listed, not decoded; a damaged one is found when it is read.

    Raises:
        VadgenError: missing, not a folder, or nothing to train on in it.
    """
    root = root.resolve()
    if not root.is_dir():
        kind = "not a folder" if root.exists() else "no such folder"
        raise VadgenError(f"{kind}: {root}", "name a folder with pictures of good parts")
    return mvtec.load(root) if mvtec.detect(root) else load(root)


def load(root: Path) -> Dataset:
    """List a plain folder of good pictures.

    Folders inside it are not searched: they could hold defects, or other parts.

    Raises:
        VadgenError: it holds no images; the hint names a folder inside that would do.
    """
    train = pictures(root)
    if train:
        return Dataset(root.name, root, train, ())
    entries = visible(root)
    if not entries:
        raise VadgenError(f"{root} is empty", "put pictures of good parts there")
    raise VadgenError(f"{root} holds no images", _advice(entries))


def _advice(entries: list[Path]) -> str:
    folders = [entry for entry in entries if entry.is_dir()]
    usable = [f for f in folders if mvtec.detect(f) or pictures(f)]
    usable.sort(key=lambda f: (f.name != GOOD, f.name))
    if usable:
        others = f" (or one of {len(usable) - 1} others)" if len(usable) > 1 else ""
        return f"folders inside are not searched; did you mean {usable[0]}{others}?"
    return "PNG, JPEG, BMP and TIFF are read; put pictures of good parts there"
