"""Results that are worth keeping between builds, by the digest of all they depend on."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadgen import paths
from vadgen.errors import VadgenError

Outputs = tuple[NDArray[np.int8], ...]


def cached(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder `<cache>/<kind>/<key>`, filled by `make` when it is not there.

    It is filled aside and moved into place, so that a build that is stopped leaves nothing half
    done, and two builds at once do not disturb each other.
    """
    folder = paths.cache() / kind / key[:32]
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    except OSError as error:
        raise VadgenError(
            f"the cache {folder.parent} cannot be written: {error.strerror}",
            "set VADGEN_CACHE to a folder that can",
        ) from None
    try:
        make(partial)
        try:
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another build was first, with the same content
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def save_arrays(
    folder: Path, name: str, count: int, batches: Iterable[Sequence[NDArray[np.generic]]]
) -> None:
    """Writes batches of arrays (n, ...) as `<name>_<i>.npy` with `count` entries each.

    Files are filled in place, so memory holds one batch.
    """
    files: list[np.memmap[tuple[int, ...], np.dtype[np.generic]]] = []
    done = 0
    for batch in batches:
        if not files:
            files = [
                np.lib.format.open_memmap(
                    folder / f"{name}_{i}.npy", "w+", a.dtype, (count, *a.shape[1:])
                )
                for i, a in enumerate(batch)
            ]
        for file, array in zip(files, batch, strict=True):
            file[done : done + len(array)] = array
        done += len(batch[0])
    assert done == count, (done, count)
    for file in files:
        file.flush()


def load_arrays(folder: Path, name: str) -> tuple[NDArray[Any], ...]:
    """The arrays of `save_arrays`, read from disk as they are used."""
    found = sorted(folder.glob(f"{name}_*.npy"), key=lambda p: int(p.stem.rpartition("_")[2]))
    return tuple(np.load(p, mmap_mode="r") for p in found)
