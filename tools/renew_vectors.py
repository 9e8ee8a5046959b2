"""Writes the expected digests into tests/vectors/*.json.

    python tools/renew_vectors.py [KERNEL ...]

Add or change cases in the files by hand, then run this: it computes every output with the numpy
reference, checks that TFLite Micro's interpreter gives the same bytes, and stores the digests, one
case a line. A digest that changes is printed; a digest of an unchanged case must not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

from cases import FOLDER, KERNELS, Case, digest, load  # noqa: E402

from vadgen.lower import lower  # noqa: E402
from vadgen.quant.oracle import run_tflm  # noqa: E402
from vadgen.quant.tflite_writer import write_tflite  # noqa: E402
from vadgen.ref.program import run_program  # noqa: E402


def main(names: list[str]) -> None:
    """Renews the files of some kernels, of all by default."""
    for kernel in names or KERNELS:
        lines = []
        for case in load(kernel):
            sha256 = digest(_expected(case))
            if sha256 != case.sha256:
                print(f"{kernel}: {case.name}: {'changed' if case.sha256 else 'new'}")
            lines.append(json.dumps(_fields(case, sha256)))
        text = '{"cases": [\n' + ",\n".join(lines) + "\n]}\n"
        (FOLDER / f"{kernel}.json").write_text(text, encoding="utf-8")


def _expected(case: Case) -> NDArray[np.int8]:
    graph, images = case.graph(), case.images()
    program = lower(graph)
    expected = np.stack([run_program(program, x)[program.outputs[0]] for x in images])
    oracle = np.stack([outputs[0] for outputs in run_tflm(write_tflite(graph), images)])
    if not np.array_equal(expected.reshape(-1), oracle.reshape(-1)):
        raise SystemExit(f"{case.kernel}: {case.name}: the reference is not TFLite Micro")
    return expected


def _fields(case: Case, sha256: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": case.name, "seed": case.seed, "input": case.input}
    fields["op"] = case.op
    fields |= {k: v for k, v in (("args", case.args), ("tensors", case.tensors)) if v}
    return {**fields, "sha256": sha256}


if __name__ == "__main__":
    main(sys.argv[1:])
