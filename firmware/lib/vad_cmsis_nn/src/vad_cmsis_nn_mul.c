#include "vad_cmsis_nn_mul.h"

#include "vad_cmsis_nn.h"

void vad_cmsis_nn_mul(const vad_mul_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    vad_cmsis_nn_require(arm_elementwise_mul_s8(rows[0], rows[1], -op->zero_point_a,
                                                -op->zero_point_b, out, op->zero_point_out,
                                                op->multiplier, op->shift, op->low, op->high,
                                                (int32_t)op->bytes) == ARM_CMSIS_NN_SUCCESS);
}
