#include "vad_pointwise_dsp.h"

#include "vad_dsp.h"

/* Two pixels as int16: see vad_dsp_dots. */
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

/* Eight input channels: two pixels stay in registers. */
static void two_pixels_of_8(const vad_pointwise_dsp_t *op, const int8_t *a, const int8_t *b,
                            int8_t *out_a, int8_t *out_b) {
    const uint32_t wa0 = vad_dsp_load(a);
    const uint32_t wa1 = vad_dsp_load(a + 4);
    const uint32_t wb0 = vad_dsp_load(b);
    const uint32_t wb1 = vad_dsp_load(b + 4);
    const uint32_t a0 = vad_dsp_even(wa0);
    const uint32_t a1 = vad_dsp_odd(wa0);
    const uint32_t a2 = vad_dsp_even(wa1);
    const uint32_t a3 = vad_dsp_odd(wa1);
    const uint32_t b0 = vad_dsp_even(wb0);
    const uint32_t b1 = vad_dsp_odd(wb0);
    const uint32_t b2 = vad_dsp_even(wb1);
    const uint32_t b3 = vad_dsp_odd(wb1);
    const vad_dsp_channel_t *channel = (const vad_dsp_channel_t *)(const void *)op->channels;
    const int8_t *weights = op->weights;
    const int32_t odd = op->odd;
    for (int8_t *end = out_a + op->out_channels; out_a != end; channel++, weights += 8) {
        const uint32_t w0 = vad_dsp_load(weights);
        const uint32_t w1 = vad_dsp_load(weights + 4);
        const uint32_t w0_even = vad_dsp_even(w0);
        const uint32_t w0_odd = vad_dsp_odd(w0);
        const uint32_t w1_even = vad_dsp_even(w1);
        const uint32_t w1_odd = vad_dsp_odd(w1);
        int32_t sum_a = vad_dsp_mac(a0, w0_even, channel->bias);
        int32_t sum_b = vad_dsp_mac(b0, w0_even, channel->bias);
        sum_a = vad_dsp_mac(a1, w0_odd, sum_a);
        sum_b = vad_dsp_mac(b1, w0_odd, sum_b);
        sum_a = vad_dsp_mac(a2, w1_even, sum_a);
        sum_b = vad_dsp_mac(b2, w1_even, sum_b);
        sum_a = vad_dsp_mac(a3, w1_odd, sum_a);
        sum_b = vad_dsp_mac(b3, w1_odd, sum_b);
        VAD_DSP_IN_ORDER();
        const int32_t multiplier = channel->multiplier;
        const int32_t shift = channel->shift;
        *out_a++ = vad_dsp_finish(sum_a, multiplier, shift, odd);
        *out_b++ = vad_dsp_finish(sum_b, multiplier, shift, odd);
    }
}

static void two_pixels(const vad_pointwise_dsp_t *op, const int8_t *a, const int8_t *b,
                       int8_t *out_a, int8_t *out_b, uint32_t *pair) {
    const uint32_t depth = op->in_channels;
    widen(a, b, depth / 4, pair);
    const vad_dsp_channel_t *channel = (const vad_dsp_channel_t *)(const void *)op->channels;
    const int8_t *weights = op->weights;
    const int32_t odd = op->odd;
    for (int8_t *end = out_a + op->out_channels; out_a != end;
         channel += 2, weights += 2 * depth, out_a += 2, out_b += 2) {
        const vad_dsp_dots_t s = vad_dsp_dots(pair, weights, weights + depth, depth / 4,
                                              channel[0].bias, channel[1].bias);
        vad_dsp_store(&s, channel, odd, out_a, out_b);
    }
}

/* Two pixels at a time; a last odd pixel is its own partner. */
void vad_pointwise_dsp(const vad_pointwise_dsp_t *op, const int8_t *const *rows, int8_t *out,
                       void *scratch) {
    const uint32_t depth = op->in_channels;
    const int8_t *in = rows[0];
    for (uint32_t x = 0; x < op->width; x += 2) {
        const uint32_t other = x + 1 < op->width;
        const int8_t *b = in + other * depth;
        int8_t *out_b = out + other * op->out_channels;
        if (depth == 8) {
            two_pixels_of_8(op, in, b, out, out_b);
        } else {
            two_pixels(op, in, b, out, out_b, scratch);
        }
        in += 2 * depth;
        out += 2 * op->out_channels;
    }
}
