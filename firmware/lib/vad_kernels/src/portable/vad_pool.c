#include "vad_pool.h"

#include <stddef.h>

/* Columns of the image under the kernel of output pixel x: first .. end - 1. */
typedef struct {
    int32_t first;
    int32_t end;
} span_t;

static span_t columns(const vad_pool_t *op, int32_t x) {
    const int32_t left = x * op->stride_w - op->pad_left;
    const int32_t right = left + op->kernel_w;
    return (span_t){left < 0 ? 0 : left, right > op->in_width ? op->in_width : right};
}

void vad_average_pool(const vad_pool_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    int32_t height = 0;
    for (int32_t i = 0; i < op->kernel_h; i++) {
        height += rows[i] != NULL;
    }
    for (int32_t x = 0; x < op->out_width; x++) {
        const span_t span = columns(op, x);
        const int32_t count = height * (span.end - span.first);
        for (int32_t c = 0; c < op->channels; c++) {
            int32_t sum = 0;
            for (int32_t i = 0; i < op->kernel_h; i++) {
                if (rows[i] == NULL) {
                    continue;
                }
                for (int32_t j = span.first; j < span.end; j++) {
                    sum += rows[i][j * op->channels + c];
                }
            }
            const int32_t half = sum > 0 ? count / 2 : -(count / 2);
            *out++ = (int8_t)vad_clamp((sum + half) / count, op->low, op->high);
        }
    }
}

void vad_max_pool(const vad_pool_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    for (int32_t x = 0; x < op->out_width; x++) {
        const span_t span = columns(op, x);
        for (int32_t c = 0; c < op->channels; c++) {
            int32_t best = INT8_MIN;
            for (int32_t i = 0; i < op->kernel_h; i++) {
                if (rows[i] == NULL) {
                    continue;
                }
                for (int32_t j = span.first; j < span.end; j++) {
                    const int32_t value = rows[i][j * op->channels + c];
                    best = value > best ? value : best;
                }
            }
            *out++ = (int8_t)vad_clamp(best, op->low, op->high);
        }
    }
}
