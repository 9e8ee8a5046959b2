#include <stddef.h>
#include <string.h>

#include "vad_conv2d_dsp.h"
#include "vad_dsp.h"

/* The pixels under the kernel of output pixel x; outside the image there are zero points. */
static void gather(const vad_conv2d_dsp_t *op, const int8_t *const *rows, int32_t x,
                   int8_t *patch) {
    const int32_t left = x * op->stride_w - op->pad_left;
    const int32_t first = left < 0 ? -left : 0;
    const int32_t inside = op->in_width - left;
    const int32_t end = inside < op->kernel_w ? inside : op->kernel_w;
    const size_t line = (size_t)op->kernel_w * op->in_channels;
    const size_t skip = (size_t)first * op->in_channels;
    const size_t count = (size_t)(end - first) * op->in_channels;
    for (uint32_t i = 0; i < op->kernel_h; i++, patch += line) {
        if (rows[i] == NULL || count != line) {
            memset(patch, (uint8_t)op->in_zero_point, line);
        }
        if (rows[i] != NULL) {
            const int8_t *from = rows[i] + (left + first) * (int32_t)op->in_channels;
            for (size_t k = 0; k < count; k++) {
                patch[skip + k] = from[k];
            }
        }
    }
}

static void widen(const int8_t *a, const int8_t *b, uint32_t count, uint32_t *pair) {
    for (uint32_t i = 0; i < count; i++, a += 4, b += 4, pair += 4) {
        const uint32_t wa = vad_dsp_load(a);
        const uint32_t wb = vad_dsp_load(b);
        pair[0] = vad_dsp_even(wa);
        pair[1] = vad_dsp_odd(wa);
        pair[2] = vad_dsp_even(wb);
        pair[3] = vad_dsp_odd(wb);
    }
}

void vad_conv2d_dsp(const vad_conv2d_dsp_t *op, const int8_t *const *rows, int8_t *out,
                    void *scratch) {
    const uint32_t patch = op->patch;
    uint32_t *pair = scratch;
    int8_t *a = (int8_t *)(pair + patch);
    int8_t *b = a + patch;
    const int32_t odd = op->odd;
    memset(a, 0, 2 * (size_t)patch);
    for (int32_t x = 0; x < op->out_width; x += 2) {
        const int32_t other = x + 1 < op->out_width;
        gather(op, rows, x, a);
        gather(op, rows, x + other, b);
        widen(a, b, patch / 4, pair);
        const vad_dsp_channel_t *channel = (const vad_dsp_channel_t *)(const void *)op->channels;
        const int8_t *weights = op->weights;
        int8_t *out_b = out + (uint32_t)other * op->out_channels;
        for (uint32_t o = 0; o < op->out_channels; o += 2, channel += 2, weights += 2 * patch) {
            const vad_dsp_dots_t s = vad_dsp_dots(pair, weights, weights + patch, patch / 4,
                                                  channel[0].bias, channel[1].bias);
            vad_dsp_store(&s, channel, odd, out + o, out_b + o);
        }
        out += 2 * (uint32_t)op->out_channels;
    }
}
