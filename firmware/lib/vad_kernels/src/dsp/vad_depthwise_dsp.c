#include <stddef.h>
#include <string.h>

#include "vad_depthwise_dsp.h"
#include "vad_dsp.h"

/* One output pixel, four channels at a time. taps: the pixels under the kernel, an even number. */
static inline __attribute__((always_inline)) void
pixel(const vad_depthwise_dsp_t *op, const int8_t *const *taps, uint32_t n_pairs, int8_t *out) {
    const vad_dsp_channel_t *channel = (const vad_dsp_channel_t *)(const void *)op->channels;
    const uint32_t *weights = (const uint32_t *)(const void *)op->weights;
    const int32_t odd = op->odd;
    for (uint32_t c = 0; c < op->n_channels; c += 4, channel += 4, out += 4) {
        int32_t s0 = channel[0].bias;
        int32_t s1 = channel[1].bias;
        int32_t s2 = channel[2].bias;
        int32_t s3 = channel[3].bias;
        for (uint32_t i = 0; i < n_pairs; i++, weights += 4) {
            const uint32_t a = vad_dsp_load(taps[2 * i] + c);
            const uint32_t b = vad_dsp_load(taps[2 * i + 1] + c);
            const uint32_t a_even = vad_dsp_even(a);
            const uint32_t b_even = vad_dsp_even(b);
            s0 = vad_dsp_mac(vad_dsp_low(a_even, b_even), weights[0], s0);
            s2 = vad_dsp_mac(vad_dsp_high(a_even, b_even), weights[1], s2);
            const uint32_t a_odd = vad_dsp_odd(a);
            const uint32_t b_odd = vad_dsp_odd(b);
            s1 = vad_dsp_mac(vad_dsp_low(a_odd, b_odd), weights[2], s1);
            s3 = vad_dsp_mac(vad_dsp_high(a_odd, b_odd), weights[3], s3);
        }
        out[0] = vad_dsp_finish(s0, channel[0].multiplier, channel[0].shift, odd);
        out[1] = vad_dsp_finish(s1, channel[1].multiplier, channel[1].shift, odd);
        out[2] = vad_dsp_finish(s2, channel[2].multiplier, channel[2].shift, odd);
        out[3] = vad_dsp_finish(s3, channel[3].multiplier, channel[3].shift, odd);
    }
}

/* A tap outside the image points at a pixel of zero points. */
void vad_depthwise_dsp(const vad_depthwise_dsp_t *op, const int8_t *const *rows, int8_t *out,
                       void *scratch) {
    const int32_t channels = op->n_channels;
    const uint32_t n_taps = (uint32_t)op->kernel_h * op->kernel_w;
    const uint32_t n_pairs = (n_taps + 1) / 2;
    const int8_t **taps = scratch;
    int8_t *outside = (int8_t *)(taps + 2 * n_pairs);
    memset(outside, (uint8_t)op->in_zero_point, (size_t)channels);
    taps[2 * n_pairs - 1] = outside; /* its weight is zero when the number of taps is odd */
    for (int32_t x = 0; x < op->out_width; x++, out += channels) {
        const int32_t left = x * op->stride_w - op->pad_left;
        const int8_t **tap = taps;
        for (uint32_t i = 0; i < op->kernel_h; i++) {
            for (int32_t j = left; j < left + op->kernel_w; j++) {
                const int inside = rows[i] != NULL && j >= 0 && j < op->in_width;
                *tap++ = inside ? rows[i] + j * channels : outside;
            }
        }
        if (n_pairs == 5) {
            pixel(op, taps, 5, out);
        } else {
            pixel(op, taps, n_pairs, out);
        }
    }
}
