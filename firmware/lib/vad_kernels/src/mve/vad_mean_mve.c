#include "vad_mean_mve.h"

#include <arm_mve.h>

/* A row's sums of eight channels; 256 int8 fit. */
static inline int16x8_t row_sums(const int8_t *in, int32_t width, int32_t channels) {
    int16x8_t sums = vdupq_n_s16(0);
    for (int32_t x = 0; x < width; x++, in += channels) {
        sums = vaddq_s16(sums, vldrbq_s16(in));
    }
    return sums;
}

void vad_mean_mve(const vad_mean_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    const int32_t channels = op->channels;
    const int32_t first = -op->in_zero_point * op->height * op->width;
    for (int32_t c = 0; c < channels; c += 8) {
        int32x4x2_t sums = {{vdupq_n_s32(first), vdupq_n_s32(first)}};
        for (int32_t y = 0; y < op->height; y++) {
            const int16x8_t row = row_sums(rows[y] + c, op->width, channels);
            sums.val[0] = vaddq_s32(sums.val[0], vmovlbq_s16(row));
            sums.val[1] = vaddq_s32(sums.val[1], vmovltq_s16(row));
        }
        int32_t eight[8];
        vst2q_s32(eight, sums);
        for (int32_t i = 0; i < 8 && c + i < channels; i++) {
            const int32_t scaled = vad_requantize(eight[i], op->multiplier, op->shift);
            out[c + i] = (int8_t)vad_clamp(scaled + op->out_zero_point, INT8_MIN, INT8_MAX);
        }
    }
}
