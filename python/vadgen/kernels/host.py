"""Kernels for the computer that builds: wide SIMD through the compiler's vector types."""

from __future__ import annotations

from vadgen.kernels.base import Kernel

KERNELS: tuple[Kernel, ...] = ()
