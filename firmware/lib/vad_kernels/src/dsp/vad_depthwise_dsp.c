#include <stddef.h>
#include <string.h>

#include "vad_depthwise_dsp.h"
#include "vad_dsp.h"

/* Two taps of four channels. */
#define PAIR(first, second)                                                                        \
    do {                                                                                           \
        const uint32_t a = first;                                                                  \
        const uint32_t b = second;                                                                 \
        const uint32_t a_even = vad_dsp_even(a);                                                   \
        const uint32_t b_even = vad_dsp_even(b);                                                   \
        s0 = vad_dsp_mac(vad_dsp_low(a_even, b_even), weights[0], s0);                             \
        s2 = vad_dsp_mac(vad_dsp_high(a_even, b_even), weights[1], s2);                            \
        const uint32_t a_odd = vad_dsp_odd(a);                                                     \
        const uint32_t b_odd = vad_dsp_odd(b);                                                     \
        s1 = vad_dsp_mac(vad_dsp_low(a_odd, b_odd), weights[2], s1);                               \
        s3 = vad_dsp_mac(vad_dsp_high(a_odd, b_odd), weights[3], s3);                              \
        weights += 4;                                                                              \
        VAD_DSP_IN_ORDER();                                                                        \
    } while (0)

/* One output pixel, four channels at a time. taps: the pixels under the kernel, an even number. */
static void pixel(const vad_depthwise_dsp_t *op, const int8_t *const *taps, uint32_t n_pairs,
                  int8_t *out) {
    const vad_dsp_channel_t *channel = (const vad_dsp_channel_t *)(const void *)op->channels;
    const uint32_t *weights = (const uint32_t *)(const void *)op->weights;
    const int32_t odd = op->odd;
    for (uint32_t c = 0; c < op->n_channels; c += 4, channel += 4, out += 4) {
        int32_t s0 = channel[0].bias;
        int32_t s1 = channel[1].bias;
        int32_t s2 = channel[2].bias;
        int32_t s3 = channel[3].bias;
        for (uint32_t i = 0; i < n_pairs; i++) {
            PAIR(vad_dsp_load(taps[2 * i] + c), vad_dsp_load(taps[2 * i + 1] + c));
        }
        out[0] = vad_dsp_finish(s0, channel[0].multiplier, channel[0].shift, odd);
        VAD_DSP_IN_ORDER();
        out[1] = vad_dsp_finish(s1, channel[1].multiplier, channel[1].shift, odd);
        VAD_DSP_IN_ORDER();
        out[2] = vad_dsp_finish(s2, channel[2].multiplier, channel[2].shift, odd);
        VAD_DSP_IN_ORDER();
        out[3] = vad_dsp_finish(s3, channel[3].multiplier, channel[3].shift, odd);
    }
}

/* As `pixel` for a 3x3 kernel inside the image: three pixels side by side in each of three rows. */
static void pixel_3x3(const vad_depthwise_dsp_t *op, const int8_t *row0, const int8_t *row1,
                      const int8_t *row2, int8_t *out) {
    const vad_dsp_channel_t *channel = (const vad_dsp_channel_t *)(const void *)op->channels;
    const uint32_t *weights = (const uint32_t *)(const void *)op->weights;
    const uint32_t step = op->n_channels;
    const int32_t odd = op->odd;
    for (const int8_t *end = row0 + step; row0 != end; channel += 4, out += 4) {
        int32_t s0 = channel[0].bias;
        int32_t s1 = channel[1].bias;
        int32_t s2 = channel[2].bias;
        int32_t s3 = channel[3].bias;
        PAIR(vad_dsp_load(row0), vad_dsp_load(row0 + step));
        PAIR(vad_dsp_load(row0 + 2 * step), vad_dsp_load(row1));
        PAIR(vad_dsp_load(row1 + step), vad_dsp_load(row1 + 2 * step));
        PAIR(vad_dsp_load(row2), vad_dsp_load(row2 + step));
        const uint32_t last = vad_dsp_load(row2 + 2 * step);
        const uint32_t even = vad_dsp_even(last);
        const uint32_t other = vad_dsp_odd(last);
        /* The second weight of the last pair is zero. */
        s0 = vad_dsp_mac(even, weights[0], s0);
        s2 = vad_dsp_mac(even >> 16, weights[1], s2);
        s1 = vad_dsp_mac(other, weights[2], s1);
        s3 = vad_dsp_mac(other >> 16, weights[3], s3);
        VAD_DSP_IN_ORDER();
        weights += 4;
        row0 += 4;
        row1 += 4;
        row2 += 4;
        out[0] = vad_dsp_finish(s0, channel[0].multiplier, channel[0].shift, odd);
        VAD_DSP_IN_ORDER();
        out[1] = vad_dsp_finish(s1, channel[1].multiplier, channel[1].shift, odd);
        VAD_DSP_IN_ORDER();
        out[2] = vad_dsp_finish(s2, channel[2].multiplier, channel[2].shift, odd);
        VAD_DSP_IN_ORDER();
        out[3] = vad_dsp_finish(s3, channel[3].multiplier, channel[3].shift, odd);
    }
}

/* A tap outside the image points at a pixel of zero points; there is a kernel's width of them. */
void vad_depthwise_dsp(const vad_depthwise_dsp_t *op, const int8_t *const *rows, int8_t *out,
                       void *scratch) {
    const int32_t channels = op->n_channels;
    const uint32_t n_taps = (uint32_t)op->kernel_h * op->kernel_w;
    const uint32_t n_pairs = (n_taps + 1) / 2;
    const int8_t **taps = scratch;
    int8_t *outside = (int8_t *)(taps + 2 * n_pairs);
    memset(outside, (uint8_t)op->in_zero_point, (size_t)op->kernel_w * (size_t)channels);
    taps[2 * n_pairs - 1] = outside; /* its weight is zero when the number of taps is odd */
    const int is_3x3 = op->kernel_h == 3 && op->kernel_w == 3;
    for (int32_t x = 0; x < op->out_width; x++, out += channels) {
        const int32_t left = x * op->stride_w - op->pad_left;
        const int is_inside = left >= 0 && left + op->kernel_w <= op->in_width;
        if (is_3x3 && is_inside) {
            const int32_t at = left * channels;
            pixel_3x3(op, rows[0] != NULL ? rows[0] + at : outside,
                      rows[1] != NULL ? rows[1] + at : outside,
                      rows[2] != NULL ? rows[2] + at : outside, out);
            continue;
        }
        const int8_t **tap = taps;
        for (uint32_t i = 0; i < op->kernel_h; i++) {
            for (int32_t j = left; j < left + op->kernel_w; j++) {
                const int inside = rows[i] != NULL && j >= 0 && j < op->in_width;
                *tap++ = inside ? rows[i] + j * channels : outside;
            }
        }
        pixel(op, taps, n_pairs, out);
    }
}
