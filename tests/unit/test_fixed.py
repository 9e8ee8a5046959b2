"""The integer arithmetic against exact rational numbers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vadgen.fixed import (
    INT32_MAX,
    INT32_MIN,
    exp_on_negative_values,
    one_over_one_plus_x,
    quantize_float32,
    quantize_multiplier,
    requantize,
    round_half_away,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
    wrap_int32,
)

int32s = st.integers(INT32_MIN, INT32_MAX)
multipliers = st.one_of(st.just(0), st.integers(1 << 30, INT32_MAX))
edges = st.sampled_from([INT32_MIN, INT32_MIN + 1, -1, 0, 1, INT32_MAX - 1, INT32_MAX])


def half_away(x: Fraction) -> int:
    """Nearest integer, ties away from zero."""
    return int(math.copysign(math.floor(abs(x) + Fraction(1, 2)), x))


def half_up(x: Fraction) -> int:
    """Nearest integer, ties towards plus infinity."""
    return math.floor(x + Fraction(1, 2))


def wrapped(x: int) -> int:
    return (x + 2**31) % 2**32 - 2**31


@given(st.integers(-(2**62), 2**62))
def test_wrap_is_twos_complement(x: int) -> None:
    assert int(wrap_int32(x)) == wrapped(x)


@given(st.one_of(int32s, edges), st.one_of(int32s, edges))
@example(INT32_MIN, INT32_MIN)
@example(1 << 30, -1)  # -1/2, a tie
def test_high_mul_rounds_ties_up_and_saturates(a: int, b: int) -> None:
    expected = min(half_up(Fraction(a * b, 2**31)), INT32_MAX)
    assert int(saturating_rounding_doubling_high_mul(a, b)) == expected


@given(st.one_of(int32s, edges), st.integers(0, 31))
@example(-2, 2)  # -1/2, a tie
def test_divide_by_pot_rounds_ties_away(x: int, exponent: int) -> None:
    assert int(rounding_divide_by_pot(x, exponent)) == half_away(Fraction(x, 2**exponent))


@given(st.one_of(int32s, edges), multipliers, st.integers(-31, 30))
def test_requantize_is_two_roundings(x: int, multiplier: int, shift: int) -> None:
    shifted = wrapped(x << max(shift, 0))
    once = min(half_up(Fraction(shifted * multiplier, 2**31)), INT32_MAX)
    assert int(requantize(x, multiplier, shift)) == half_away(Fraction(once, 2 ** max(-shift, 0)))


@given(st.integers(-(2**22), 2**22), multipliers, st.integers(-31, 8))
def test_requantize_is_within_one_of_the_product(x: int, multiplier: int, shift: int) -> None:
    exact = x * multiplier * Fraction(2) ** (shift - 31)
    assert abs(int(requantize(x, multiplier, shift)) - exact) <= 1


@given(st.lists(st.tuples(int32s, multipliers, st.integers(-31, 30)), min_size=1, max_size=20))
def test_arrays_are_their_elements(rows: list[tuple[int, int, int]]) -> None:
    columns = [np.array(c, dtype=np.int64) for c in zip(*rows, strict=True)]
    assert requantize(*columns).tolist() == [int(requantize(*row)) for row in rows]


@given(st.integers(1 - 2**30, 2**30 - 1), st.integers(0, INT32_MAX))
@example(1 - 2**30, INT32_MAX)
def test_smmulr_identity(acc: int, multiplier: int) -> None:
    """SMMULR, the rounded high word of a product, is the high multiplication of twice the value."""
    smmulr = ((acc << 1) * multiplier + 2**31) >> 32
    assert smmulr == int(saturating_rounding_doubling_high_mul(acc, multiplier))


@given(st.integers(-(2**30), 2**30), st.integers(1, 30), st.integers(-128, 127))
@example(-(2**30), 30, -128)
def test_shift_identity(x: int, n: int, zero_point: int) -> None:
    """The rounding shift is an addition and a shift; a zero point may join the addend."""
    shifted = (x + (x >> 31) + (1 << (n - 1)) + (zero_point << n)) >> n
    assert shifted == int(rounding_divide_by_pot(x, n)) + zero_point


@given(st.floats(min_value=2.0**-31, max_value=2.0**29))
def test_quantized_multiplier_is_the_nearest(real: float) -> None:
    multiplier, shift = quantize_multiplier(real)
    assert 1 << 30 <= multiplier <= INT32_MAX and -31 <= shift <= 30
    written = Fraction(multiplier) * Fraction(2) ** (shift - 31)
    assert abs(written - Fraction(real)) <= Fraction(2) ** (shift - 32)


@pytest.mark.parametrize("real", [0.0, 2.0**-33, 1e-12])
def test_negligible_multiplier_is_zero(real: float) -> None:
    assert quantize_multiplier(real) == (0, 0)


def test_multiplier_that_rounds_up_to_one() -> None:
    assert quantize_multiplier(math.nextafter(1.0, 0.0)) == (1 << 30, 1)


@given(st.integers(-(2**40), 2**40), st.integers(0, 12))
def test_round_half_away(numerator: int, exponent: int) -> None:
    x = Fraction(numerator, 2**exponent)
    assert round_half_away(float(x)) == half_away(x)


@given(st.floats(0.001, 100.0), st.floats(1e-4, 10.0), st.integers(-128, 127))
def test_bounds_divide_in_float32(real: float, scale: float, zero_point: int) -> None:
    ratio = np.divide(np.float32(real), np.float32(scale), dtype=np.float32)
    assert quantize_float32(real, scale, zero_point) == zero_point + half_away(
        Fraction(ratio.item())
    )


@settings(max_examples=300)
@given(st.one_of(st.integers(-(2**31), 0), st.integers(-(2**26), 0)))
@example(0)
@example(-(2**31))
def test_exp_is_close(x: int) -> None:
    result = int(exp_on_negative_values(x))
    assert 0 <= result <= INT32_MAX
    assert abs(result / 2**31 - math.exp(x / 2**26)) < 3e-7


@given(st.integers(0, INT32_MAX))
@example(0)
@example(INT32_MAX)
def test_reciprocal_is_close(x: int) -> None:
    result = one_over_one_plus_x(x)
    assert 0 <= result <= INT32_MAX
    assert abs(result / 2**31 - 1 / (1 + x / 2**31)) < 3e-7
