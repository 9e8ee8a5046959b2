"""manifest.json: what an output was made from and what is in it."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vadgen import __version__, paths
from vadgen.errors import VadgenError
from vadgen.pipeline.staging import MANIFEST


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_text(*parts: str) -> str:
    """Hex SHA-256 of texts, each ended so that ("a", "b") differs from ("ab",)."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


@functools.cache
def code_digest(package: str = "") -> str:
    """Hex SHA-256 of vadgen's own code: what a cache entry depends on.

    Args:
        package: only this package's Python; "" is all Python, the templates and the firmware.
    """
    digest = hashlib.sha256()
    python = Path(__file__).resolve().parents[1]
    roots = [(python / package, "*.py")]
    if not package:
        roots += [(paths.templates(), "*.j2"), (paths.firmware(), "*.[ch]")]
    for root, pattern in roots:
        for path in sorted(root.rglob(pattern)):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes an object with sorted keys, so that the same facts give the same bytes."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_manifest(out: Path, kind: str, facts: Mapping[str, Any]) -> None:
    """Writes `out/manifest.json`: the facts, vadgen's version, and the SHA-256 of every file.

    PlatformIO's work folder is left out: it is not part of the output.
    """
    files = {p.relative_to(out).as_posix(): sha256_file(p) for p in _files(out)}
    write_json(out / MANIFEST, {"kind": kind, "vadgen": __version__, **facts, "outputs": files})


def read_manifest(out: Path, kind: str | None = None) -> dict[str, Any]:
    """Reads `out/manifest.json`.

    Raises:
        VadgenError: there is none, it is damaged, or it is of another kind.
    """
    try:
        manifest: Any = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        if not isinstance(manifest, dict):
            raise ValueError
    except FileNotFoundError:
        raise VadgenError(
            f"{out} holds no build", "`vadgen build --board qemu_m7` makes one"
        ) from None
    except (OSError, ValueError):
        raise VadgenError(f"{out / MANIFEST} is damaged", "build again") from None
    if kind is not None and manifest.get("kind") != kind:
        raise VadgenError(
            f"{out} was written by `{manifest.get('kind')}`, not by `{kind}`",
            f"give the output of `vadgen {kind}`",
        )
    return manifest


def _files(out: Path) -> Iterable[Path]:
    return sorted(p for p in out.rglob("*") if p.is_file() and ".pio" not in p.parts)
