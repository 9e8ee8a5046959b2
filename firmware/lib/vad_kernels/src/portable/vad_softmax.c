#include "vad_softmax.h"

static int32_t leading_zeros(uint32_t x) {
    int32_t count = 0;
    for (; (x & UINT32_C(0x80000000)) == 0; x <<= 1) {
        count++;
    }
    return count;
}

void vad_softmax(const vad_softmax_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    const int8_t *in = rows[0];
    for (int32_t x = 0; x < op->width; x++, in += op->channels, out += op->channels) {
        int32_t greatest = INT8_MIN;
        for (int32_t c = 0; c < op->channels; c++) {
            greatest = in[c] > greatest ? in[c] : greatest;
        }
        /* Q12.19: the greatest input adds 1.0 = 2^19, so sum >= 2^19, and < 2^31. */
        uint32_t sum = 0;
        for (int32_t c = 0; c < op->channels; c++) {
            sum += (uint32_t)vad_rounding_divide_by_pot(op->exp_table[greatest - in[c]], 12);
        }
        const int32_t headroom = leading_zeros(sum);
        const int32_t scale =
            vad_one_over_one_plus_x((int32_t)((sum << headroom) - UINT32_C(0x80000000)));
        const int32_t shift = 12 - headroom + 31 - 8;
        for (int32_t c = 0; c < op->channels; c++) {
            const int32_t product =
                vad_rounding_doubling_high_mul(op->exp_table[greatest - in[c]], scale);
            const int32_t value = vad_rounding_divide_by_pot(product, shift) - 128;
            out[c] = (int8_t)vad_clamp(value, INT8_MIN, INT8_MAX);
        }
    }
}
