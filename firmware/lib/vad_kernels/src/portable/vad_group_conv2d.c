#include "vad_group_conv2d.h"

#include <stddef.h>

/* The sum of one output channel: `share` inputs of each pixel from `offset` on, where the window's
 * columns `first` to `end` lie in the image. Outside are zero points. */
static int32_t sum_of(const vad_group_conv2d_t *op, const int8_t *const *rows, const int8_t *w,
                      int32_t offset, int32_t first, int32_t end, int32_t share) {
    int32_t sum = 0;
    int32_t uncovered = 0;
    for (int32_t i = 0; i < op->kernel_h; i++) {
        for (int32_t j = 0; j < op->kernel_w; j++) {
            if (rows[i] == NULL || j < first || j >= end) {
                for (int32_t c = 0; c < share; c++) {
                    uncovered += *w++;
                }
                continue;
            }
            const int8_t *in = rows[i] + offset + j * op->in_channels;
            for (int32_t c = 0; c < share; c++) {
                sum += *in++ * *w++;
            }
        }
    }
    return sum + op->in_zero_point * uncovered;
}

void vad_group_conv2d(const vad_group_conv2d_t *op, const int8_t *const *rows, int8_t *out,
                      void *scratch) {
    (void)scratch;
    const int32_t share = op->in_channels / op->groups;
    const int32_t outputs = op->out_channels / op->groups;
    const int32_t taps = op->kernel_h * op->kernel_w * share;
    int32_t left = -op->pad_left;
    for (int32_t x = 0; x < op->out_width; x++, left += op->stride_w) {
        const int32_t first = left < 0 ? -left : 0;
        const int32_t inside = op->in_width - left;
        const int32_t end = inside < op->kernel_w ? inside : op->kernel_w;
        for (int32_t o = 0; o < op->out_channels; o++) {
            const int32_t offset = left * op->in_channels + o / outputs * share;
            const int32_t sum =
                sum_of(op, rows, op->weights + o * taps, offset, first, end, share) + op->bias[o];
            *out++ = vad_output(sum, op->multiplier[o], op->shift[o], op->out_zero_point, op->low,
                                op->high);
        }
    }
}
