/* The integer arithmetic of every kernel; numpy twin: python/vadgen/fixed.py. */
#ifndef VAD_FIXED_H
#define VAD_FIXED_H

#include <stdint.h>

/* floor(a * b / 2^31 + 1/2); b in [0, 2^31), so the product is below 2^62. */
static inline int32_t vad_rounding_doubling_high_mul(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + (INT64_C(1) << 30)) >> 31);
}

/* x / 2^exponent to the nearest, ties away from zero; exponent in [0, 31]. */
static inline int32_t vad_rounding_divide_by_pot(int32_t x, int32_t exponent) {
    const int32_t mask = (int32_t)((UINT32_C(1) << exponent) - 1u);
    const int32_t threshold = (mask >> 1) + (x < 0);
    return (x >> exponent) + ((x & mask) > threshold);
}

/* x * multiplier * 2^(shift - 31), two roundings; shift in [-31, 30], left when positive. */
static inline int32_t vad_requantize(int32_t x, int32_t multiplier, int32_t shift) {
    const int32_t left = shift > 0 ? shift : 0;
    const int32_t right = shift > 0 ? 0 : -shift;
    const int32_t shifted = (int32_t)((uint32_t)x << left);
    return vad_rounding_divide_by_pot(vad_rounding_doubling_high_mul(shifted, multiplier), right);
}

/* vad_requantize(x, multiplier, shift) + zero_point, which wraps as in TFLM where a sum near 2^31
 * is not shifted right, clamped to int8 limits. */
static inline int8_t vad_output(int32_t x, int32_t multiplier, int32_t shift, int32_t zero_point,
                                int32_t low, int32_t high) {
    const uint32_t scaled = (uint32_t)vad_requantize(x, multiplier, shift);
    const int32_t moved = (int32_t)(scaled + (uint32_t)zero_point);
    return (int8_t)(moved < low ? low : moved > high ? high : moved);
}

/* vad_requantize(x, multiplier, -right) + z from the upper word of one product: right in [1, 21],
 * |x| < 2^29, constant = (2 * z + 1) * 2^right + 1. With y = 4 * x * multiplier the doubling high
 * multiply is (y + 2^32) >> 33. The shift behind it adds 2^(right - 1), less 1 below zero so that
 * ties go away from it; both are (y + 2^32 * (1 + 2^right - 2 * (x < 0))) >> (33 + right). */
static inline int32_t vad_requantize_upper(int32_t x, int32_t multiplier, int32_t right,
                                           int32_t constant) {
    const int32_t upper = (int32_t)((int64_t)(x * 4) * multiplier >> 32);
    return (upper + constant + (x >> 31) * 2) >> (right + 1);
}

/* To int8, saturating. */
static inline int8_t vad_saturate(int32_t x) {
#if defined(__ARM_FEATURE_SAT)
    return (int8_t)(int32_t)__builtin_arm_ssat(x, 8); /* the ACLE's __ssat warns of its sign */
#else
    return (int8_t)((int8_t)x == x ? x : (x >> 31) ^ INT8_MAX);
#endif
}

static inline int32_t vad_clamp(int32_t x, int32_t low, int32_t high) {
    return x < low ? low : x > high ? high : x;
}

/* 1 / (1 + x), x in [0, 1), both Q0.31: three Newton steps on 48/17 - 32/17 d (gemmlowp). */
int32_t vad_one_over_one_plus_x(int32_t x);

#endif
