#include "vad_mean.h"

void vad_mean(const vad_mean_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    for (int32_t c = 0; c < op->channels; c++) {
        int32_t sum = -op->in_zero_point * op->height * op->width;
        for (int32_t y = 0; y < op->height; y++) {
            for (int32_t x = 0; x < op->width; x++) {
                sum += rows[y][x * op->channels + c];
            }
        }
        const int32_t scaled = vad_requantize(sum, op->multiplier, op->shift);
        out[c] = (int8_t)vad_clamp(scaled + op->out_zero_point, INT8_MIN, INT8_MAX);
    }
}
