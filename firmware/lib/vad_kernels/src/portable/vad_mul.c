#include "vad_mul.h"

/* A centred input is at most 255, so a product is below 2^16, shifted below 2^30. */
void vad_mul(const vad_mul_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    const vad_mul_t k = *op; /* int8_t may alias what op points at */
    const int8_t *a = rows[0];
    for (const int8_t *end = a + k.bytes; a != end;) {
        const int8_t *b = rows[1];
        for (const int8_t *last = b + k.period; b != last;) {
            const int32_t product = (*a++ - k.zero_point_a) * (*b++ - k.zero_point_b);
            const int32_t result = vad_requantize(product, k.multiplier, k.shift);
            *out++ = (int8_t)vad_clamp(result + k.zero_point_out, k.low, k.high);
        }
    }
}
