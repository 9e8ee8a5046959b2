#include "vad_conv2d.h"

#include <stddef.h>

void vad_conv2d(const vad_conv2d_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    const int32_t channels = op->in_channels;
    const int32_t zero_point = op->in_zero_point;
    for (int32_t x = 0; x < op->out_width; x++) {
        const int32_t left = x * op->stride_w - op->pad_left;
        const int32_t first = left < 0 ? -left : 0;
        const int32_t inside = op->in_width - left;
        const int32_t end = inside < op->kernel_w ? inside : op->kernel_w;
        /* Columns first .. end - 1 of a kernel row lie in the image, side by side in memory. */
        const int32_t count = (end - first) * channels;
        const int8_t *weights = op->weights + first * channels;
        for (int32_t o = 0; o < op->out_channels; o++) {
            int32_t acc = op->bias[o];
            for (int32_t i = 0; i < op->kernel_h; i++, weights += op->kernel_w * channels) {
                if (rows[i] == NULL) {
                    continue;
                }
                const int8_t *in = rows[i] + (left + first) * channels;
                for (int32_t k = 0; k < count; k++) {
                    acc += (in[k] - zero_point) * weights[k];
                }
            }
            const int32_t scaled = vad_requantize(acc, op->multiplier[o], op->shift[o]);
            *out++ = (int8_t)vad_clamp(scaled + op->out_zero_point, op->low, op->high);
        }
    }
}
