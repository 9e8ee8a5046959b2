#include "vad_add.h"

/* A centred input is at most 255, so 255 << 20 < 2^28; scaled by at most 1/2 each, the sum stays
 * below 2^28. */
void vad_add(const vad_add_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    const int8_t *a = rows[0];
    const int8_t *b = rows[1];
    for (uint32_t i = 0; i < op->bytes; i++) {
        const int32_t wide_a = (a[i] - op->zero_point_a) * (1 << 20);
        const int32_t wide_b = (b[i] - op->zero_point_b) * (1 << 20);
        const int32_t sum = vad_requantize(wide_a, op->multiplier_a, op->shift_a) +
                            vad_requantize(wide_b, op->multiplier_b, op->shift_b);
        const int32_t scaled = vad_requantize(sum, op->multiplier_out, op->shift_out);
        out[i] = (int8_t)vad_clamp(scaled + op->zero_point_out, op->low, op->high);
    }
}
