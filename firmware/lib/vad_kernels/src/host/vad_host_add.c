#include "vad_host_add.h"

#include "vad_simd.h"

VAD_INLINE vad_requant8_t scale_of(int32_t multiplier, int32_t shift) {
    return vad_requant8(vad_splat(multiplier), vad_splat(shift), 0, 0, 0);
}

/* (x - zero_point) << 20, at most 255 << 20 < 2^28, scaled by at most 1/2. */
VAD_INLINE vad_i32x8 widened(const int8_t *from, int32_t lanes, int32_t zero_point,
                             const vad_requant8_t *q) {
    return vad_scale8(q, (vad_load_i8(from, lanes) - zero_point) * (1 << 20));
}

void vad_host_add(const vad_add_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    const vad_requant8_t a = scale_of(op->multiplier_a, op->shift_a);
    const vad_requant8_t b = scale_of(op->multiplier_b, op->shift_b);
    const vad_requant8_t q = vad_requant8(vad_splat(op->multiplier_out), vad_splat(op->shift_out),
                                          op->zero_point_out, op->low, op->high);
    for (uint32_t i = 0; i < op->bytes; i += VAD_LANES) {
        const uint32_t rest = op->bytes - i;
        const int32_t lanes = rest < VAD_LANES ? (int32_t)rest : VAD_LANES;
        const vad_i32x8 sum = widened(rows[0] + i, lanes, op->zero_point_a, &a) +
                              widened(rows[1] + i, lanes, op->zero_point_b, &b);
        vad_store_i8(out + i, vad_requantize8(&q, sum), lanes);
    }
}
