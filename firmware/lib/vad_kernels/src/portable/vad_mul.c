#include "vad_mul.h"

/* A centred input is at most 255, so a product is below 2^16, shifted below 2^30. */
static inline int32_t scaled(int32_t product, const vad_mul_t *k, int32_t right, int32_t constant) {
    if (right < 1 || right > 21) {
        return vad_requantize(product, k->multiplier, k->shift) + k->zero_point_out;
    }
    return vad_requantize_upper(product, k->multiplier, right, constant);
}

void vad_mul(const vad_mul_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    const vad_mul_t k = *op; /* int8_t may alias what op points at */
    const int32_t right = -k.shift;
    const int32_t constant = right > 0 && right < 22 ? (2 * k.zero_point_out + 1) * (1 << right) + 1
                                                     : 0; /* of vad_requantize_upper */
    const int8_t *a = rows[0];
    for (const int8_t *end = a + k.bytes; a != end;) {
        const int8_t *b = rows[1];
        for (const int8_t *last = b + k.period; b != last;) {
            const int32_t product = (*a++ - k.zero_point_a) * (*b++ - k.zero_point_b);
            *out++ = (int8_t)vad_clamp(scaled(product, &k, right, constant), k.low, k.high);
        }
    }
}
