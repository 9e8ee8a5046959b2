"""Writes the expected digests into PatchCore's tests/vectors/*.json.

    python tools/renew_bank_vectors.py

Add or change cases in the files by hand, then run this: it computes every output with the numpy
reference and stores the digests, one case a line. A digest that changes is printed.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

from bank_cases import FOLDER, STEMS, BankCase, load_banks  # noqa: E402


def main() -> None:
    """Renews all files."""
    defaults = asdict(BankCase("", 0, (), 0))
    for stem in STEMS:
        lines = []
        for case in load_banks(stem):
            renewed = replace(case, sha256=case.digest(*case.expected()))
            if renewed.sha256 != case.sha256:
                print(f"{stem}: {case.name}: {'changed' if case.sha256 else 'new'}")
            fields = {k: v for k, v in asdict(renewed).items() if v != defaults[k]}
            lines.append(json.dumps(fields))
        text = '{"cases": [\n' + ",\n".join(lines) + "\n]}\n"
        (FOLDER / f"{stem}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
