#include "vad_add_mve.h"

#include <arm_mve.h>

/* vad_requantize for shifts below 0; "signed" in vad_mve.h. */
static inline int32x4_t requantize(int32x4_t x, int32_t multiplier, int32_t shift) {
    const int32x4_t high = vqrdmulhq_n_s32(x, multiplier);
    return vrshlq_n_s32(vaddq_s32(high, vshrq_n_s32(high, 31)), shift);
}

static inline __attribute__((always_inline)) void add(const vad_add_mve_t *op, const int8_t *a,
                                                      const int8_t *b, int8_t *out, int same) {
    const int32_t multiplier_a = op->multiplier_a;
    const int32_t multiplier = op->multiplier;
    const int32_t shift_a = op->shift_a;
    const int32_t shift = op->shift;
    const int16_t zero_point_a = op->zero_point_a;
    const int16_t zero_point_b = op->zero_point_b;
    const int16_t zero_point = op->zero_point;
    for (int32_t left = (int32_t)op->bytes; left > 0; left -= 8, a += 8, b += 8, out += 8) {
        const mve_pred16_t inside = vctp16q((uint32_t)left);
        const int16x8_t x = vsubq_n_s16(vldrbq_z_s16(a, inside), zero_point_a);
        const int16x8_t y = vsubq_n_s16(vldrbq_z_s16(b, inside), zero_point_b);
        /* Even and odd elements; inputs are shifted by 20, so half of one by 19. */
        int32x4_t even = vshllbq_n_s16(vshlq_n_s16(x, same ? 3 : 4), 16);
        int32x4_t odd = vshlltq_n_s16(vshlq_n_s16(x, same ? 3 : 4), 16);
        if (!same) {
            even = requantize(even, multiplier_a, shift_a);
            odd = requantize(odd, multiplier_a, shift_a);
        }
        const int16x8_t half = vshlq_n_s16(y, 3);
        even = requantize(vaddq_s32(even, vshllbq_n_s16(half, 16)), multiplier, shift);
        odd = requantize(vaddq_s32(odd, vshlltq_n_s16(half, 16)), multiplier, shift);
        int16x8_t sum = vqmovntq_s32(vqmovnbq_s32(vuninitializedq_s16(), even), odd);
        sum = vqaddq_n_s16(sum, zero_point);
        vstrbq_p_s16(out, (int16x8_t)vqmovnbq_s16((int8x16_t)sum, sum), inside);
    }
}

void vad_add_mve(const vad_add_mve_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    if (op->same) {
        add(op, rows[op->a], rows[1 - op->a], out, 1);
    } else {
        add(op, rows[op->a], rows[1 - op->a], out, 0);
    }
}
