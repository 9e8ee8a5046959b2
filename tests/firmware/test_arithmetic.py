"""Products and quotients of a core that has no instructions for them, against Python's."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from firmware_model import MODEL, usable

from vadgen.build.emulator import qemu_command, run_in
from vadgen.build.platformio import build_project, create_project

DRIVER = Path(__file__).parent / "arithmetic" / "main.c"
EDGES = (1, 2, 3, 7, 10, 0xFFFF, 0x10000, 2**31 - 1, 2**31, 2**32 - 1, 2**32 + 1, 2**63, 2**64 - 1)


def signed(value: int, bits: int) -> int:
    return (value + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


def quotient(a: int, b: int) -> tuple[int, int]:
    """As in C: towards zero."""
    whole = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return whole, a - whole * b


def expected(a: int, b: int) -> list[int]:
    low_a, low_b = a % 2**32, b % 2**32
    signed_a, signed_b = signed(low_a, 32), signed(low_b, 32)
    results = [a * b, low_a * low_b, signed_a * signed_b, *divmod(a, b)]
    results += quotient(signed(a, 64), signed(b, 64))
    results += [*divmod(low_a, low_b), *quotient(signed_a, signed_b)]
    return [r % 2**64 for r in results]


def is_defined(a: int, b: int) -> bool:
    """No division by 0, and no quotient beyond the greatest number."""
    overflows = any(a % 2**n == 2 ** (n - 1) and b % 2**n == 2**n - 1 for n in (32, 64))
    return b % 2**32 != 0 and not overflows


@pytest.mark.slow
def test_products_and_quotients(tmp_path: Path) -> None:
    board = usable("qemu_lx106")
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 2**63, (2000, 2)) >> rng.integers(0, 62, (2000, 2))
    pairs = [(a, b) for a in (0, *EDGES) for b in EDGES] + [(int(a), int(b)) for a, b in drawn]
    pairs = [(a, b) for a, b in pairs if is_defined(a, b)]
    assert len(pairs) > 2000
    project = create_project(tmp_path, board, MODEL)
    shutil.copy(DRIVER, project / "src" / "main.c")
    elf = build_project(project, board)
    (tmp_path / "request.bin").write_bytes(np.array(pairs, "<u8").tobytes())
    run_in(tmp_path, qemu_command(elf, board), "the arithmetic", 60)
    got = np.fromfile(tmp_path / "response.bin", "<u8").reshape(len(pairs), -1).tolist()
    for pair, results in zip(pairs, got, strict=True):
        assert results == expected(*pair), pair
