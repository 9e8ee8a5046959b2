#include "vad_pool_mve.h"

#include <stddef.h>

#include "vad_mve_vectors.h"

/* Columns of the image under the kernel of an output pixel. */
typedef struct {
    int32_t first;
    int32_t count;
} span_t;

static inline span_t columns(const vad_pool_t *op, int32_t x) {
    const int32_t left = x * op->stride_w - op->pad_left;
    const int32_t right = left + op->kernel_w;
    const int32_t first = left < 0 ? 0 : left;
    return (span_t){first, (right > op->in_width ? op->in_width : right) - first};
}

/* 1 / count of 2 * sum, Q0.31, a little above: so ties go away from zero, and no other sum of
 * up to 256 int8 comes to the next integer. */
static inline int32_t reciprocal(int32_t count) {
    return (1 << 30) / count + 1;
}

static inline int16x8_t mean(int16x8_t sums, int32_t factor) {
    const int32x4_t even = vqrdmulhq_n_s32(vshllbq_n_s16(sums, 1), factor);
    return vad_mve_join(even, vqrdmulhq_n_s32(vshlltq_n_s16(sums, 1), factor));
}

static inline int8x16_t clamp(const vad_pool_t *op, int8x16_t x) {
    return vminq_s8(vmaxq_s8(x, vdupq_n_s8(op->low)), vdupq_n_s8(op->high));
}

void vad_average_pool_mve(const vad_pool_t *op, const int8_t *const *rows, int8_t *out,
                          void *scratch) {
    (void)scratch;
    const int32_t channels = op->channels;
    int32_t height = 0;
    for (int32_t i = 0; i < op->kernel_h; i++) {
        height += rows[i] != NULL;
    }
    for (int32_t x = 0; x < op->out_width; x++, out += channels) {
        const span_t span = columns(op, x);
        const int32_t factor = reciprocal(height * span.count);
        for (int32_t c = 0; c < channels; c += 16) {
            int16x8_t a = vdupq_n_s16(0);
            int16x8_t b = a;
            for (int32_t i = 0; i < op->kernel_h; i++) {
                if (rows[i] == NULL) {
                    continue;
                }
                const int8_t *in = rows[i] + span.first * channels + c;
                for (int32_t j = 0; j < span.count; j++, in += channels) {
                    a = vaddq_s16(a, vldrbq_s16(in));
                    b = vaddq_s16(b, vldrbq_s16(in + 8));
                }
            }
            a = vmaxq_s16(vminq_s16(mean(a, factor), vdupq_n_s16(op->high)), vdupq_n_s16(op->low));
            b = vmaxq_s16(vminq_s16(mean(b, factor), vdupq_n_s16(op->high)), vdupq_n_s16(op->low));
            vstrbq_p_s16(out + c, a, vctp16q((uint32_t)(channels - c)));
            if (channels - c > 8) {
                vstrbq_p_s16(out + c + 8, b, vctp16q((uint32_t)(channels - c - 8)));
            }
        }
    }
}

void vad_max_pool_mve(const vad_pool_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    const int32_t channels = op->channels;
    for (int32_t x = 0; x < op->out_width; x++, out += channels) {
        const span_t span = columns(op, x);
        for (int32_t c = 0; c < channels; c += 32) {
            int8x16_t a = vdupq_n_s8(INT8_MIN);
            int8x16_t b = a;
            for (int32_t i = 0; i < op->kernel_h; i++) {
                if (rows[i] == NULL) {
                    continue;
                }
                const int8_t *in = rows[i] + span.first * channels + c;
                for (int32_t j = 0; j < span.count; j++, in += channels) {
                    a = vmaxq_s8(a, vld1q_s8(in));
                    b = vmaxq_s8(b, vld1q_s8(in + 16));
                }
            }
            vst1q_p_s8(out + c, clamp(op, a), vctp8q((uint32_t)(channels - c)));
            if (channels - c > 16) {
                vst1q_p_s8(out + c + 16, clamp(op, b), vctp8q((uint32_t)(channels - c - 16)));
            }
        }
    }
}
