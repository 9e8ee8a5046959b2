"""Bytes and counts as people write and read them."""

from __future__ import annotations

_UNITS = {"": 1, "B": 1, "K": 1024, "KB": 1024, "KIB": 1024}
_UNITS |= {"M": 1024**2, "MB": 1024**2, "MIB": 1024**2}
_UNITS |= {"G": 1024**3, "GB": 1024**3, "GIB": 1024**3}


def parse_bytes(value: object) -> int:
    """Bytes of a size such as 65536, "64K" or "1.5 MiB" (K, M and G are powers of 1024).

    Raises:
        ValueError: when it is not a size, or not a whole number of bytes.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(value)
    text = str(value).strip().upper()
    digits = text.rstrip("BGIKM ")
    size = float(digits) * _UNITS.get(text[len(digits) :].strip(), float("nan"))
    if size != int(size):
        raise ValueError(value)
    return int(size)


def show_bytes(n_bytes: int) -> str:
    """Bytes in the unit a person would take: 12 B, 449.4 KiB, 2 MiB (1 KiB is 1024 bytes)."""
    if n_bytes < 1024:
        return f"{n_bytes} B"
    if n_bytes < 1024**2:
        return f"{n_bytes / 1024:.1f}".removesuffix(".0") + " KiB"
    return f"{n_bytes / 1024**2:.2f}".removesuffix(".00") + " MiB"


def show_count(n: int) -> str:
    """A count in the unit a person would take: 9,999, 12.3 k, 41.30 M."""
    if n < 10_000:
        return f"{n:,}"
    return f"{n / 1e3:,.1f} k" if n < 1_000_000 else f"{n / 1e6:,.2f} M"


def show_stack(set_aside: int, bound: int | None, painted: int | None) -> str:
    """The stack's use as measured, its bound, and what is set aside."""
    used = "" if painted is None else f"{painted:,} bytes used, "
    most = "no bound known" if bound is None else f"{bound:,} at most by the call graph"
    return f"{used}{most}, of {set_aside:,}"
