#include "vad_esp_nn_add.h"

#include <string.h>

#include "vad_esp_nn.h"

/* By which the operator shifts a centred input left before it scales it. */
#define LEFT_SHIFT 20

void vad_esp_nn_add(const vad_add_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    int8_t *a = vad_esp_nn_aligned(scratch);
    int8_t *b = vad_esp_nn_aligned(a + op->bytes);
    int8_t *row = vad_esp_nn_aligned(b + op->bytes);
    memcpy(a, rows[0], op->bytes);
    memcpy(b, rows[1], op->bytes);
    esp_nn_add_elementwise_s8(a, b, -op->zero_point_a, -op->zero_point_b, op->multiplier_a,
                              op->multiplier_b, op->shift_a, op->shift_b, LEFT_SHIFT, row,
                              op->zero_point_out, op->multiplier_out, op->shift_out, op->low,
                              op->high, (int32_t)op->bytes);
    memcpy(out, row, op->bytes);
}
