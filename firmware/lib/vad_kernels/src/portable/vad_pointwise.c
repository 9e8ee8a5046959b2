#include "vad_pointwise.h"

static int8_t finish(const vad_pointwise_t *op, int32_t o, int32_t acc) {
    const int32_t scaled = vad_requantize(acc, op->multiplier[o], op->shift[o]);
    return (int8_t)vad_clamp(scaled + op->out_zero_point, op->low, op->high);
}

/* Two pixels at a time, so that each weight is read once for both; a last odd pixel is its own
 * partner. */
void vad_pointwise(const vad_pointwise_t *op, const int8_t *const *rows, int8_t *out,
                   void *scratch) {
    (void)scratch;
    const int32_t channels = op->in_channels;
    const int32_t outputs = op->out_channels;
    for (int32_t x = 0; x < op->width; x += 2) {
        const int32_t pair = x + 1 < op->width;
        const int8_t *in0 = rows[0] + x * channels;
        const int8_t *in1 = in0 + pair * channels;
        int8_t *out0 = out + x * outputs;
        int8_t *out1 = out0 + pair * outputs;
        const int8_t *weights = op->weights;
        for (int32_t o = 0; o < outputs; o++) {
            int32_t acc0 = op->bias[o];
            int32_t acc1 = acc0;
            for (int32_t k = 0; k < channels; k++) {
                const int32_t w = *weights++;
                acc0 += in0[k] * w;
                acc1 += in1[k] * w;
            }
            out0[o] = finish(op, o, acc0);
            out1[o] = finish(op, o, acc1);
        }
    }
}
