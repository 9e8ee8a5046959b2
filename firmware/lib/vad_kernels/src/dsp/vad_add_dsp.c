#include "vad_add_dsp.h"

/* A centred input is below 2^8, so shifted by 22 it is below 2^30, and the sum is below 2^28. The
 * roundings are those of vad_dsp.h, "signed". left: 21, or 22 where a is scaled by 1/2 too: the
 * shift right by 1 then gives back what is too much. */
static inline __attribute__((always_inline)) void add(const vad_add_dsp_t *op, const int8_t *a,
                                                      const int8_t *b, int8_t *out, int32_t left) {
    const int32_t zero_point_a = op->zero_point_a * (1 << left);
    const int32_t multiplier_a = op->multiplier_a;
    const int32_t constant_a = op->constant_a;
    const int32_t multiplier = op->multiplier;
    const int32_t constant = op->constant;
    const int32_t right_a = op->right_a;
    const int32_t right = op->right;
    for (const int8_t *end = a + op->bytes; a != end;) {
        const int32_t wide = *a++ * (1 << left) - zero_point_a;
        int32_t sum;
        __asm__("smmlar %0, %1, %2, %3"
                : "=r"(sum)
                : "r"(wide), "r"(multiplier_a), "r"(constant_a));
        sum = ((sum + (wide >> 31)) >> right_a) + *b++ * (1 << 19);
        int32_t scaled;
        __asm__("smmlar %0, %1, %2, %3"
                : "=r"(scaled)
                : "r"(sum * 2), "r"(multiplier), "r"(constant));
        scaled = (scaled + (sum >> 31)) >> right;
        __asm__("ssat %0, #8, %0" : "+r"(scaled));
        *out++ = (int8_t)scaled;
    }
}

void vad_add_dsp(const vad_add_dsp_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    if (op->same) {
        add(op, rows[op->a], rows[1 - op->a], out, 22);
    } else {
        add(op, rows[op->a], rows[1 - op->a], out, 21);
    }
}
