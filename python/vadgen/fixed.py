"""The integer arithmetic of every kernel: rounding, saturation, requantization.

TensorFlow Lite Micro's reference arithmetic with double rounding, spelled once for numpy. The C
twin is `firmware/lib/vad_core/include/vad_fixed.h`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Int64 = NDArray[np.int64]

INT32_MIN = -(2**31)
INT32_MAX = 2**31 - 1


def wrap_int32(x: ArrayLike) -> Int64:
    """Reduces modulo 2^32 to int32's range, as two's-complement hardware does."""
    return np.asarray(x, dtype=np.int64).astype(np.int32).astype(np.int64)


def saturating_rounding_doubling_high_mul(a: ArrayLike, b: ArrayLike) -> Int64:
    """(a * b) / 2^31, rounded to nearest, ties upward; INT32_MIN squared saturates.

    Args:
        a: int32 values.
        b: int32 values, broadcast with `a`.

    Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", 2018. C twin: `vad_rounding_doubling_high_mul`.
    """
    a64, b64 = np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64)
    quotient = (a64 * b64 + (1 << 30)) >> 31
    return np.where((a64 == INT32_MIN) & (b64 == INT32_MIN), np.int64(INT32_MAX), quotient)


def rounding_divide_by_pot(x: ArrayLike, exponent: ArrayLike) -> Int64:
    """Divides x by 2^exponent, to nearest with ties away from zero; exponent in [0, 31].

    C twin: `vad_rounding_divide_by_pot`.
    """
    x64, e = np.asarray(x, dtype=np.int64), np.asarray(exponent, dtype=np.int64)
    mask = (np.int64(1) << e) - 1
    remainder = x64 & mask
    threshold = (mask >> 1) + (x64 < 0)
    return (x64 >> e) + (remainder > threshold)


def requantize(x: ArrayLike, multiplier: ArrayLike, shift: ArrayLike) -> Int64:
    """Scales x by multiplier * 2^(shift - 31), with two roundings.

    Args:
        x: int32 accumulators.
        multiplier: Q0.31, 0 or in [2^30, 2^31).
        shift: left shift when positive, rounding right shift when negative, in [-31, 30].

    C twin: `vad_requantize`.
    """
    s = np.asarray(shift, dtype=np.int64)
    shifted = wrap_int32(np.asarray(x, dtype=np.int64) << np.maximum(s, 0))
    return rounding_divide_by_pot(
        saturating_rounding_doubling_high_mul(shifted, multiplier), np.maximum(-s, 0)
    )


def quantize_multiplier(real: float) -> tuple[int, int]:
    """Writes a non-negative real multiplier as `multiplier * 2^(shift - 31)`.

    Returns:
        multiplier in [2^30, 2^31) or 0, and shift in [-31, 30].
    """
    if real == 0.0:
        return 0, 0
    mantissa, shift = math.frexp(real)
    fixed = round_half_away(mantissa * 2.0**31)
    if fixed == 1 << 31:
        fixed //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    return fixed, shift


def round_half_away(x: float) -> int:
    """Rounds to nearest, ties away from zero, as C's `round` does."""
    return int(math.floor(abs(x) + 0.5)) * (1 if x >= 0 else -1)


def quantize_float32(real: float, scale: float, zero_point: int) -> int:
    """`zero_point + round(real / scale)`, divided in float32, as TFLite computes bounds."""
    return zero_point + round_half_away(float(np.float32(real) / np.float32(scale)))


_EXP_STEPS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)


def exp_on_negative_values(x: ArrayLike, integer_bits: int = 5) -> Int64:
    """exp(x) for x <= 0 as Q0.31 (gemmlowp's fixed-point exponential).

    Args:
        x: Q5.26 or Q4.27, in [-2^31, 0].
        integer_bits: 5 or 4.

    Source: gemmlowp, `fixedpoint.h`.
    """
    a = np.asarray(x, dtype=np.int64)
    quarter_bits = 29 - integer_bits
    quarter = np.int64(1 << quarter_bits)
    a_mod = (a & (quarter - 1)) - quarter
    result = _exp_last_quarter(a_mod << integer_bits)
    remainder = a_mod - a
    for i, step in enumerate(_EXP_STEPS[: integer_bits + 2]):
        hit = (remainder & (np.int64(1) << (quarter_bits + i))) != 0
        result = np.where(hit, saturating_rounding_doubling_high_mul(result, step), result)
    return np.where(a == 0, np.int64(INT32_MAX), result)


def _exp_last_quarter(a: Int64) -> Int64:
    """exp(a) for a in [-1/4, 0) in Q0.31: a fourth-order expansion around -1/8."""
    mul = saturating_rounding_doubling_high_mul
    at_minus_eighth, third = 1895147668, 715827883
    x = a + (1 << 28)
    x2 = mul(x, x)
    x3 = mul(x2, x)
    x4_over_4 = rounding_divide_by_pot(mul(x2, x2), 2)
    tail = rounding_divide_by_pot(mul(x4_over_4 + x3, third) + x2, 1)
    return at_minus_eighth + mul(at_minus_eighth, x + tail)


def one_over_one_plus_x(x: int) -> int:
    """1 / (1 + x) for x in [0, 1) in Q0.31, by three Newton steps (gemmlowp).

    C twin: `vad_one_over_one_plus_x`.
    """

    def mul(a: int, b: int) -> int:
        return int(saturating_rounding_doubling_high_mul(a, b))

    def shift_left_saturating(v: int, n: int) -> int:
        return min(max(v << n, INT32_MIN), INT32_MAX)

    half_denominator = (x + INT32_MAX + 1) >> 1  # x >= 0, so this is the rounded half sum
    estimate = 1515870810 + mul(half_denominator, -1010580540)  # Q2.29: 48/17 - 32/17 d
    for _ in range(3):
        error = (1 << 29) - mul(half_denominator, estimate)
        estimate += shift_left_saturating(mul(estimate, error), 2)
    return shift_left_saturating(estimate, 1)


def logistic(x: ArrayLike, scale: float) -> Int64 | None:
    """1 / (1 + exp(-x)) as int8 with scale 1/256 and zero point -128; TFLite's LOGISTIC.

    Args:
        x: centred int8 inputs, in [-255, 255].
        scale: of the input.

    Returns:
        int8 values, or None where the scale is too small for TFLite Micro, or so large that its
        shift leaves 64 bits.

    Source: TensorFlow, `reference/integer_ops/logistic.h`; gemmlowp, `fixedpoint.h`, `logistic`.
    """
    multiplier, shift = quantize_multiplier(scale * 2.0**27)
    if not 0 <= shift <= 62:
        return None
    centred = np.asarray(x, dtype=np.int64)
    radius = math.floor(15.0 * 2.0**27 / 2.0**shift)
    inside = np.clip(centred, -radius, radius)
    exps = exp_on_negative_values(-np.abs(requantize(inside, multiplier, shift)), integer_bits=4)
    positive = np.vectorize(one_over_one_plus_x, otypes=[np.int64])(exps)
    unit = np.where(centred > 0, positive, INT32_MAX - positive)
    unit = np.where(centred == 0, 1 << 30, unit)
    rounded = np.clip(rounding_divide_by_pot(unit, 23) - 128, -128, 127)
    return np.where(np.abs(centred) < radius, rounded, np.where(centred > 0, 127, -128))


def hard_swish(
    x: ArrayLike, scale: float, zero_point: int, out_scale: float, out_zero_point: int
) -> Int64 | None:
    """TFLite's HARD_SWISH in its 16-bit steps: x * min(max(x + 3, 0), 6) / 6.

    Args:
        x: int8 values.
        scale: of the input, as its zero point.
        zero_point: of the input.
        out_scale: of the output, as its zero point.
        out_zero_point: of the output.

    Returns:
        int8 values, or None where TFLite Micro refuses the scales or its shift leaves 32 bits.

    Source: TensorFlow, `reference/hard_swish.h`; TFLite Micro, `hard_swish_common.cc`.
    """
    fine_scale = np.float32(scale) / np.float32(128)
    out_multiplier, out_shift = _int16_multiplier(float(fine_scale / np.float32(out_scale)))
    multiplier, shift = _int16_multiplier(float(fine_scale / np.float32(3.0 / 32768.0)))
    if not -15 <= out_shift <= 0 or not -15 <= shift <= 31:
        return None
    fine = (np.asarray(x, dtype=np.int64) - zero_point) << 7
    scaled = _rounding_doubling_high_mul_int16(fine, out_multiplier)
    gate = np.clip(fine << (shift - 1), -32768, 32767) if shift > 0 else fine
    gate = _rounding_doubling_high_mul_int16(gate, multiplier)
    if shift > 0:
        gate = np.clip(gate << 1, -32768, 32767)
    gate = rounding_divide_by_pot(gate, max(-shift, 0))
    gate = (gate + 32768) >> 1
    product = np.sign(gate * scaled) * (np.abs(gate * scaled) >> 15)
    return np.clip(rounding_divide_by_pot(product, -out_shift) + out_zero_point, -128, 127)


def _int16_multiplier(real: float) -> tuple[int, int]:
    """`quantize_multiplier` with Q0.15 multipliers."""
    multiplier, shift = quantize_multiplier(real)
    return min((multiplier + (1 << 15)) >> 16, 32767), shift


def _rounding_doubling_high_mul_int16(a: Int64, b: int) -> Int64:
    """(a * b) / 2^15 of int16 values, rounded to nearest, ties upward."""
    return (a * b + (1 << 14)) >> 15
