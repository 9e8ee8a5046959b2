#include "vad_add_dsp.h"

#include "vad_dsp.h"

static inline int32_t scale(int32_t x, int32_t zero_point, int32_t multiplier, int32_t right) {
    /* The centred input is below 2^8, so shifted by 21 it is below 2^29. */
    int32_t product;
    __asm__("smmulr %0, %1, %2"
            : "=r"(product)
            : "r"((x - zero_point) * (1 << 21)), "r"(multiplier));
    if (right == 0) {
        return product;
    }
    return (product + (product >> 31) + (1 << (right - 1))) >> right;
}

void vad_add_dsp(const vad_add_dsp_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    const int8_t *a = rows[0];
    const int8_t *b = rows[1];
    const int8_t *end = a + op->bytes;
    while (a != end) {
        const int32_t sum = scale(*a++, op->zero_point_a, op->multiplier_a, op->right_a) +
                            scale(*b++, op->zero_point_b, op->multiplier_b, op->right_b);
        *out++ = vad_dsp_finish(sum, op->multiplier_out, op->shift_out, op->odd);
    }
}
