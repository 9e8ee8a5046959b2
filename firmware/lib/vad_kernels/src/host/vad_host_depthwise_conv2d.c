#include "vad_host_depthwise_conv2d.h"

#include <stddef.h>

#include "vad_simd.h"

/* Eight channels of pixel x, or of the padding where there is no row. */
VAD_INLINE vad_i32x8 pixel(const vad_host_depthwise_conv2d_t *op, const int8_t *row, int32_t x,
                           int32_t lanes) {
    return row == NULL ? vad_splat(op->in_zero_point)
                       : vad_load_i8(row + (size_t)x * op->channels, lanes);
}

/* Two rows as int16 pairs in 32 bits, the upper row in the low half, padding to both sides. */
VAD_INLINE void pair_rows(const vad_host_depthwise_conv2d_t *op, const int8_t *upper,
                          const int8_t *lower, int32_t lanes, int32_t *pairs) {
    for (int32_t i = 0; i < (int32_t)op->columns; i++, pairs += VAD_LANES) {
        const int32_t x = i - op->pad_left;
        const int32_t inside = x >= 0 && x < op->in_width;
        const vad_i32x8 low = pixel(op, inside ? upper : NULL, x, lanes);
        const vad_i32x8 high = pixel(op, inside ? lower : NULL, x, lanes);
        vad_store_i32x8(pairs, (low & 0xFFFF) | vad_shift_left(high, vad_splat(16)));
    }
}

/* The output row of eight channels. taps: row pairs times kernel columns. */
VAD_INLINE void slide(const vad_host_depthwise_conv2d_t *op, int32_t n_pairs, int32_t kernel_w,
                      int32_t channel, int32_t lanes, const int32_t *pairs, int8_t *out) {
    const int32_t taps = n_pairs * kernel_w;
    const size_t pitch = (size_t)op->columns * VAD_LANES;
    const int16_t *weights = op->weights + (size_t)channel * 2 * (size_t)taps;
    vad_i16x16 w[VAD_HOST_DEPTHWISE_TAPS];
    for (int32_t k = 0; k < taps; k++) {
        w[k] = (vad_i16x16)vad_load_i32x8(weights + k * 2 * VAD_LANES);
    }
    const vad_i32x8 bias = vad_load_i32x8(op->bias + channel);
    const vad_requant8_t q = vad_requant8(vad_load_i32x8(op->multiplier + channel),
                                          vad_load_i8(op->shift + channel, VAD_LANES),
                                          op->out_zero_point, op->low, op->high);
    for (int32_t x = 0; x < op->out_width; x++) {
        const int32_t *in = pairs + (size_t)x * op->stride_w * VAD_LANES;
        vad_i32x8 acc = bias;
        for (int32_t i = 0; i < n_pairs; i++) {
            for (int32_t j = 0; j < kernel_w; j++) {
                const vad_i32x8 pair = vad_load_i32x8(in + (size_t)i * pitch + j * VAD_LANES);
                acc = vad_dot2(acc, (vad_i16x16)pair, w[i * kernel_w + j]);
            }
        }
        vad_store_i8(out + (size_t)x * op->channels + channel, vad_requantize8(&q, acc), lanes);
    }
}

/* Eight channels at a time, so that their pairs stay in the first cache. */
void vad_host_depthwise_conv2d(const vad_host_depthwise_conv2d_t *op, const int8_t *const *rows,
                               int8_t *out, void *scratch) {
    const int32_t n_pairs = (op->kernel_h + 1) / 2;
    for (int32_t channel = 0; channel < op->channels; channel += VAD_LANES) {
        const int32_t rest = op->channels - channel;
        const int32_t lanes = rest < VAD_LANES ? rest : VAD_LANES;
        int32_t *pairs = scratch;
        for (int32_t i = 0; i < op->kernel_h; i += 2, pairs += op->columns * VAD_LANES) {
            const int8_t *upper = rows[i] == NULL ? NULL : rows[i] + channel;
            /* A last row without a partner is its own; the partner's weights are 0. */
            const int8_t *second = rows[i + 1 < op->kernel_h ? i + 1 : i];
            const int8_t *lower = second == NULL ? NULL : second + channel;
            if (lanes == VAD_LANES) {
                pair_rows(op, upper, lower, VAD_LANES, pairs);
            } else {
                pair_rows(op, upper, lower, lanes, pairs);
            }
        }
        if (lanes == VAD_LANES && op->kernel_h == 3 && op->kernel_w == 3) {
            slide(op, 2, 3, channel, VAD_LANES, scratch, out);
        } else if (lanes == VAD_LANES && op->kernel_h == 5 && op->kernel_w == 5) {
            slide(op, 3, 5, channel, VAD_LANES, scratch, out);
        } else {
            slide(op, n_pairs, op->kernel_w, channel, lanes, scratch, out);
        }
    }
}
