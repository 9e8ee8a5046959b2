#include "vad_depthwise_conv2d.h"

#include <stddef.h>

void vad_depthwise_conv2d(const vad_depthwise_conv2d_t *op, const int8_t *const *rows, int8_t *out,
                          void *scratch) {
    (void)scratch;
    const int32_t channels = op->in_channels;
    const int32_t outputs = channels * op->depth_multiplier;
    const int32_t zero_point = op->in_zero_point;
    for (int32_t x = 0; x < op->out_width; x++) {
        const int32_t left = x * op->stride_w - op->pad_left;
        const int32_t first = left < 0 ? -left : 0;
        const int32_t inside = op->in_width - left;
        const int32_t end = inside < op->kernel_w ? inside : op->kernel_w;
        int32_t o = 0;
        for (int32_t c = 0; c < channels; c++) {
            for (int32_t m = 0; m < op->depth_multiplier; m++, o++) {
                int32_t acc = op->bias[o];
                for (int32_t i = 0; i < op->kernel_h; i++) {
                    if (rows[i] == NULL) {
                        continue;
                    }
                    const int8_t *in = rows[i] + (left + first) * channels + c;
                    const int8_t *w = op->weights + (i * op->kernel_w + first) * outputs + o;
                    for (int32_t j = first; j < end; j++, in += channels, w += outputs) {
                        acc += (*in - zero_point) * *w;
                    }
                }
                const int32_t scaled = vad_requantize(acc, op->multiplier[o], op->shift[o]);
                *out++ = (int8_t)vad_clamp(scaled + op->out_zero_point, op->low, op->high);
            }
        }
    }
}
