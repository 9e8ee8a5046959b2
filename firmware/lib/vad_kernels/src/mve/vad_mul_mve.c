#include "vad_mul_mve.h"

#include "vad_mve_vectors.h"

/* Eight outputs, in the lower bytes. */
static inline int16x8_t eight(const vad_mul_t *k, const int8_t *a, const int8_t *b) {
    const int16x8_t x = vsubq_n_s16(vldrbq_s16(a), k->zero_point_a);
    const int16x8_t y = vsubq_n_s16(vldrbq_s16(b), k->zero_point_b);
    const int32x4_t even = vad_mve_requantize(vmullbq_int_s16(x, y), k->multiplier, k->shift);
    const int32x4_t odd = vad_mve_requantize(vmulltq_int_s16(x, y), k->multiplier, k->shift);
    const int16x8_t moved = vqaddq_n_s16(vad_mve_join(even, odd), k->zero_point_out);
    return vminq_s16(vmaxq_s16(moved, vdupq_n_s16(k->low)), vdupq_n_s16(k->high));
}

void vad_mul_mve(const vad_mul_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    const vad_mul_t k = *op; /* int8_t may alias what op points at */
    const int8_t *a = rows[0];
    for (const int8_t *end = a + k.bytes; a != end;) {
        const int8_t *b = rows[1];
        for (uint32_t i = 0; i < k.period / 8; i++, a += 8, b += 8, out += 8) {
            vstrbq_s16(out, eight(&k, a, b));
        }
        const uint32_t rest = k.period % 8;
        if (rest != 0) {
            vstrbq_p_s16(out, eight(&k, a, b), vctp16q(rest));
            a += rest;
            out += rest;
        }
    }
}
