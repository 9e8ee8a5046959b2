#include "vad_add_mve.h"

#include "vad_mve_vectors.h"

/* Eight outputs, in the lower bytes. */
static inline int16x8_t eight(const vad_add_mve_t *k, const int8_t *a, const int8_t *b) {
    const int16x8_t x = vsubq_n_s16(vldrbq_s16(a), k->zero_point_a);
    const int16x8_t y = vsubq_n_s16(vldrbq_s16(b), k->zero_point_b);
    /* Even and odd elements; inputs are shifted by 20, so half of one by 19. */
    int32x4_t even = vshllbq_n_s16(vshlq_n_s16(x, 3), 16);
    int32x4_t odd = vshlltq_n_s16(vshlq_n_s16(x, 3), 16);
    if (!k->same) {
        even = vad_mve_requantize(vaddq_s32(even, even), k->multiplier_a, k->shift_a);
        odd = vad_mve_requantize(vaddq_s32(odd, odd), k->multiplier_a, k->shift_a);
    }
    const int16x8_t half = vshlq_n_s16(y, 3);
    even = vaddq_s32(even, vshllbq_n_s16(half, 16));
    odd = vaddq_s32(odd, vshlltq_n_s16(half, 16));
    even = vad_mve_requantize(even, k->multiplier, k->shift);
    odd = vad_mve_requantize(odd, k->multiplier, k->shift);
    const int16x8_t sum = vqaddq_n_s16(vad_mve_join(even, odd), k->zero_point);
    return (int16x8_t)vqmovnbq_s16((int8x16_t)sum, sum);
}

void vad_add_mve(const vad_add_mve_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    const vad_add_mve_t k = *op; /* int8_t may alias what op points at */
    const int8_t *a = rows[k.a];
    const int8_t *b = rows[1 - k.a];
    for (uint32_t i = 0; i < k.bytes / 8; i++, a += 8, b += 8, out += 8) {
        vstrbq_s16(out, eight(&k, a, b));
    }
    if (k.bytes % 8 != 0) {
        vstrbq_p_s16(out, eight(&k, a, b), vctp16q(k.bytes % 8));
    }
}
