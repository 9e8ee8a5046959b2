"""Writes the expected digests into tests/vectors/students.json.

    python tools/renew_students_vectors.py

Add or change cases in the file by hand, then run this: it computes every output with the numpy
reference and stores the digests, one case a line. A digest that changes is printed.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

from students_cases import PATH, load_students, students_digest  # noqa: E402


def main() -> None:
    """Renews the file."""
    lines = []
    for case in load_students():
        renewed = replace(case, sha256=students_digest(case.tables().score(case.images())[0]))
        if renewed.sha256 != case.sha256:
            print(f"{case.name}: {'changed' if case.sha256 else 'new'}")
        lines.append(json.dumps(asdict(renewed)))
    PATH.write_text('{"cases": [\n' + ",\n".join(lines) + "\n]}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
