"""One function a verb: the order of steps. Knows every part; only the command line knows it."""

from __future__ import annotations

from vadgen.pipeline.compiler import CompileResult, compile_model

__all__ = ["CompileResult", "compile_model"]
