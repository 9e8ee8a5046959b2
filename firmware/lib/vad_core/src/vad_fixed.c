#include "vad_fixed.h"

/* Signed on both sides; neither is INT32_MIN here. */
static int32_t mul_q31(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + (INT64_C(1) << 30)) >> 31);
}

static int32_t shift_left_saturating(int32_t x, int32_t n) {
    const int64_t wide = (int64_t)x * (INT64_C(1) << n);
    return wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : (int32_t)wide;
}

int32_t vad_one_over_one_plus_x(int32_t x) {
    /* x >= 0, so this is the rounded half of x + 1 in Q0.31. */
    const int32_t half_denominator = (int32_t)(((uint32_t)x + UINT32_C(0x80000000)) >> 1);
    int32_t estimate = 1515870810 + mul_q31(half_denominator, -1010580540); /* Q2.29 */
    for (int32_t i = 0; i < 3; i++) {
        const int32_t error = (INT32_C(1) << 29) - mul_q31(half_denominator, estimate);
        estimate += shift_left_saturating(mul_q31(estimate, error), 2);
    }
    return shift_left_saturating(estimate, 1);
}
