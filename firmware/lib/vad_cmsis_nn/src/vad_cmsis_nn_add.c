#include "vad_cmsis_nn_add.h"

#include "vad_cmsis_nn.h"

/* By which the operator shifts a centred input left before it scales it. */
#define LEFT_SHIFT 20

void vad_cmsis_nn_add(const vad_add_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    vad_cmsis_nn_require(
        arm_elementwise_add_s8(rows[0], rows[1], -op->zero_point_a, op->multiplier_a, op->shift_a,
                               -op->zero_point_b, op->multiplier_b, op->shift_b, LEFT_SHIFT, out,
                               op->zero_point_out, op->multiplier_out, op->shift_out, op->low,
                               op->high, (int32_t)op->bytes) == ARM_CMSIS_NN_SUCCESS);
}
