"""Outputs appear whole or not at all: written beside their place, then moved into it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vadgen.errors import VadgenError

MANIFEST = "manifest.json"


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Yields a folder beside `out` that takes its place when the block ends well.

    A folder that is in the way is replaced only when an earlier build wrote it.

    Raises:
        VadgenError: `out` holds something else, or cannot be written.
    """
    out = out.absolute()
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / MANIFEST).is_file()):
        raise VadgenError(
            f"{out} is not empty and no build wrote it", "name another folder with --out"
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # Not hidden from PlatformIO and compilers: a plain name, unique to this process.
        partial = Path(tempfile.mkdtemp(prefix=f"{out.name}.partial-", dir=out.parent))
    except OSError as error:
        raise VadgenError(
            f"{out.parent} cannot be written: {error.strerror}",
            "name another folder with --out",
        ) from None
    try:
        partial.chmod(0o755)
        yield partial
        _replace(out, partial)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _replace(out: Path, partial: Path) -> None:
    """Moves `partial` to `out`; what was there before is back if that fails or is stopped."""
    old = partial.with_name(f"{partial.name}.old")
    try:
        if out.exists():
            out.rename(old)
        partial.rename(out)
    except BaseException:
        if old.exists() and not out.exists():
            old.rename(out)
        raise
    finally:
        if out.exists():
            shutil.rmtree(old, ignore_errors=True)


def shown(path: Path) -> str:
    """A path as the user would type it: relative to the working folder when below it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
