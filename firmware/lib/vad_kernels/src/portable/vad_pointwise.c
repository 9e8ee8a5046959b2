#include "vad_pointwise.h"

#include "vad_dots.h"

/* A channel's two outputs by the general requantization. */
static __attribute__((noinline)) void finish(const vad_pointwise_t *op, int32_t o, int32_t a,
                                             int32_t b, int8_t *out_a, int8_t *out_b) {
    const int32_t multiplier = op->multiplier[o];
    const int32_t shift = op->shift[o];
    *out_a = vad_output(a, multiplier, shift, op->out_zero_point, op->low, op->high);
    *out_b = vad_output(b, multiplier, shift, op->out_zero_point, op->low, op->high);
}

/* Two pixels and two channels at a time. A last odd pixel, or channel, is its own partner. */
void vad_pointwise(const vad_pointwise_t *op, const int8_t *const *rows, int8_t *out,
                   void *scratch) {
    (void)scratch;
    const int8_t *in = rows[0];
    const int32_t channels = op->in_channels;
    const int32_t outputs = op->out_channels;
    const int32_t zero_point = op->out_zero_point;
    const int32_t *const multiplier = op->multiplier;
    const int8_t *const shift = op->shift;
    const int32_t upper = op->upper;
    for (int32_t x = 0; x < op->width; x += 2, in += 2 * channels, out += 2 * outputs) {
        const int32_t pair = x + 1 < op->width;
        int8_t *out_b = out + pair * outputs;
        const int8_t *w0 = op->weights;
        const int32_t *bias = op->bias;
        for (int32_t o = 0; o < outputs; o += 2, bias += 2) {
            const int32_t next = o + 1 < outputs;
            const int8_t *w1 = next ? w0 + channels : w0;
            const int8_t *a = in;
            const int8_t *b = in + pair * channels;
            vad_dots_t s = {bias[0], bias[0], bias[next], bias[next]};
            vad_dots(&s, &a, &b, &w0, &w1, channels);
            w0 = w1;
            const int32_t p = o + next;
            if (upper) {
                vad_finish_upper(s.a0, s.b0, multiplier[o], shift[o], zero_point, out + o,
                                 out_b + o);
                vad_finish_upper(s.a1, s.b1, multiplier[p], shift[p], zero_point, out + p,
                                 out_b + p);
            } else {
                finish(op, o, s.a0, s.b0, out + o, out_b + o);
                finish(op, p, s.a1, s.b1, out + p, out_b + p);
            }
        }
    }
}
