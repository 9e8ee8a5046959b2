#include "vad_add.h"

/* A centred input is at most 255, so 255 << 20 < 2^28; scaled by at most 1/2 each, the sum stays
 * below 2^28. */
static inline int32_t scaled(int32_t x, int32_t multiplier, int32_t shift) {
    const int32_t wide = x * (1 << 20);
    if (shift == 0 || shift < -21) {
        return vad_requantize(wide, multiplier, shift);
    }
    return vad_requantize_upper(wide, multiplier, -shift, (1 << -shift) + 1);
}

void vad_add(const vad_add_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    const vad_add_t k = *op; /* int8_t may alias what op points at */
    const int8_t *a = rows[0];
    const int8_t *b = rows[1];
    for (const int8_t *end = a + k.bytes; a != end;) {
        const int32_t sum = scaled(*a++ - k.zero_point_a, k.multiplier_a, k.shift_a) +
                            scaled(*b++ - k.zero_point_b, k.multiplier_b, k.shift_b);
        const int32_t result = vad_requantize(sum, k.multiplier_out, k.shift_out);
        *out++ = (int8_t)vad_clamp(result + k.zero_point_out, k.low, k.high);
    }
}
