"""Results that are worth keeping between builds, by the digest of all they depend on."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from vadgen import paths
from vadgen.errors import VadgenError
from vadgen.pipeline.frozen import load_frozen, save_frozen

T = TypeVar("T")
Outputs = tuple[NDArray[np.int8], ...]


def folder_of(kind: str, key: str) -> Path:
    """The folder `<cache>/<kind>/<key>`, be it there or not."""
    return paths.cache() / kind / key[:32]


def cached(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder of a key, filled by `make` when it is not there.

    It is filled aside and moved into place, so that a build that is stopped leaves nothing half
    done, and two builds at once do not disturb each other.
    """
    folder = folder_of(kind, key)
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


def remembered(kind: str, key: str, make: Callable[[], T]) -> T:
    """What `make` gives, a tree that `save_frozen` takes, made once for a key."""
    folder = cached(kind, key, lambda work: save_frozen(work / "value.npz", make()))
    value: T = load_frozen(folder / "value.npz")
    return value


def save_arrays(
    folder: Path, name: str, count: int, batches: Iterable[Sequence[NDArray[np.generic]]]
) -> None:
    """Writes batches of arrays (n, ...) as `<name>_<i>.npy` with `count` entries each.

    Files grow batch by batch, so memory holds one; they are not mapped, because on a full disk a
    map ends the process where a write is an error.
    """
    done = 0
    with ExitStack() as stack:
        files: list[BinaryIO] = []
        for batch in batches:
            if not files:
                for i, array in enumerate(batch):
                    files.append(stack.enter_context((folder / f"{name}_{i}.npy").open("wb")))
                    _write_head(files[-1], array, count)
            for file, array in zip(files, batch, strict=True):
                file.write(np.ascontiguousarray(array).data)
            done += len(batch[0])
    assert done == count, (done, count)


def load_arrays(folder: Path, name: str) -> tuple[NDArray[Any], ...]:
    """The arrays of `save_arrays`, read from disk as they are used."""
    found = sorted(folder.glob(f"{name}_*.npy"), key=lambda p: int(p.stem.rpartition("_")[2]))
    return tuple(np.load(p, mmap_mode="r") for p in found)


def _write_head(file: BinaryIO, array: NDArray[np.generic], count: int) -> None:
    """The head of a `.npy` file of `count` entries like those of `array`."""
    head = np.lib.format.header_data_from_array_1_0(np.empty((0, *array.shape[1:]), array.dtype))
    np.lib.format.write_array_header_1_0(file, {**head, "shape": (count, *array.shape[1:])})
