#include "vad_lut_mve.h"

#include <arm_mve.h>

void vad_lut_mve(const vad_lut_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    const int8_t *const table = op->table;
    const int8_t *in = rows[0];
    const uint8x16_t centre = vdupq_n_u8(128);
    for (uint32_t i = 0; i < op->bytes / 16; i++, in += 16, out += 16) {
        vst1q_s8(out,
                 vldrbq_gather_offset_s8(table, veorq_u8(vld1q_u8((const uint8_t *)in), centre)));
    }
    const uint8x16_t last = veorq_u8(vld1q_u8((const uint8_t *)in), centre);
    vst1q_p_s8(out, vldrbq_gather_offset_s8(table, last), vctp8q(op->bytes % 16));
}
