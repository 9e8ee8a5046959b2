/* A convolution over a whole image, as both libraries document it; the plainest loops. */
#ifndef NAIVE_H
#define NAIVE_H

#include <stdint.h>

#include "vad_fixed.h"

typedef struct {
    int32_t in_height, in_width, in_channels;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    int32_t out_height, out_width, out_channels;
    int32_t in_offset, out_offset, low, high;
    int is_depthwise;
} naive_t;

/* weights: [out_channels][kernel_h][kernel_w][in_channels], or of a depthwise convolution
 * [kernel_h][kernel_w][channels]. */
static inline void naive_convolution(const naive_t *n, const int8_t *in, const int8_t *weights,
                                     const int32_t *bias, const int32_t *multiplier,
                                     const int32_t *shift, int8_t *out) {
    for (int32_t y = 0; y < n->out_height; y++) {
        for (int32_t x = 0; x < n->out_width; x++) {
            for (int32_t o = 0; o < n->out_channels; o++) {
                int32_t sum = bias[o];
                for (int32_t k = 0; k < n->kernel_h * n->kernel_w; k++) {
                    const int32_t row = y * n->stride_h - n->pad_top + k / n->kernel_w;
                    const int32_t column = x * n->stride_w - n->pad_left + k % n->kernel_w;
                    if (row < 0 || row >= n->in_height || column < 0 || column >= n->in_width) {
                        continue;
                    }
                    const int8_t *pixel = in + (row * n->in_width + column) * n->in_channels;
                    if (n->is_depthwise) {
                        sum += (pixel[o] + n->in_offset) * weights[k * n->out_channels + o];
                        continue;
                    }
                    const int32_t taps = n->kernel_h * n->kernel_w;
                    const int8_t *w = weights + (o * taps + k) * n->in_channels;
                    for (int32_t c = 0; c < n->in_channels; c++) {
                        sum += (pixel[c] + n->in_offset) * w[c];
                    }
                }
                const int32_t scaled = vad_requantize(sum, multiplier[o], shift[o]);
                *out++ = (int8_t)vad_clamp(scaled + n->out_offset, n->low, n->high);
            }
        }
    }
}

#endif
