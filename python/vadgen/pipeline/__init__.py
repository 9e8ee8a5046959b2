"""One function a verb: the order of steps. Knows every part; only the command line knows it."""

from __future__ import annotations

from vadgen.pipeline.attached import device, emulate, monitor
from vadgen.pipeline.benchmark import benchmark, open_row
from vadgen.pipeline.benchmark_report import report
from vadgen.pipeline.builder import build
from vadgen.pipeline.compiler import compile_model
from vadgen.pipeline.flash import flash
from vadgen.pipeline.use import clean, demo_data, evaluate, infer, size, verify

__all__ = [
    "benchmark",
    "build",
    "clean",
    "compile_model",
    "demo_data",
    "device",
    "emulate",
    "evaluate",
    "flash",
    "infer",
    "monitor",
    "open_row",
    "report",
    "size",
    "verify",
]
