"""Writes the expected digests into tests/vectors/cfa.json, padim_full.json and students.json.

    python tools/renew_detector_vectors.py

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

import cfa_cases  # noqa: E402
import padim_cases  # noqa: E402
import students_cases  # noqa: E402

FILES = (
    (cfa_cases.PATH, cfa_cases.load_cfa, cfa_cases.cfa_digest),
    (padim_cases.PATH, padim_cases.load_padim, padim_cases.padim_digest),
    (students_cases.PATH, students_cases.load_students, students_cases.students_digest),
)


def main() -> None:
    """Renews all files."""
    for path, load, digest in FILES:
        lines = []
        for case in load():
            renewed = replace(case, sha256=digest(case.tables().score(case.images())[0]))
            if renewed.sha256 != case.sha256:
                print(f"{path.stem}: {case.name}: {'changed' if case.sha256 else 'new'}")
            lines.append(json.dumps(asdict(renewed)))
        path.write_text('{"cases": [\n' + ",\n".join(lines) + "\n]}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
