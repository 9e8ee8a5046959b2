#include "vad_esp_nn_mul.h"

#include <string.h>

#include "vad_esp_nn.h"

void vad_esp_nn_mul(const vad_mul_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    int8_t *a = vad_esp_nn_aligned(scratch);
    int8_t *b = vad_esp_nn_aligned(a + op->bytes);
    int8_t *row = vad_esp_nn_aligned(b + op->bytes);
    memcpy(a, rows[0], op->bytes);
    memcpy(b, rows[1], op->bytes);
    esp_nn_mul_elementwise_s8(a, b, -op->zero_point_a, -op->zero_point_b, row, op->zero_point_out,
                              op->multiplier, op->shift, op->low, op->high, (int32_t)op->bytes);
    memcpy(out, row, op->bytes);
}
