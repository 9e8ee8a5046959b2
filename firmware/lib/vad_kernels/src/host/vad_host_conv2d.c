#include "vad_host_conv2d.h"

#include <stddef.h>

#include "vad_simd.h"

/* A block of accumulators that fits the registers: pixels times panels of eight channels. */
#define PIXELS 4
#define PANELS 2

/* Copies the rows under the kernel as int16, with the zero point where the image ends. */
static void widen(const vad_host_conv2d_t *op, const int8_t *const *rows, int16_t *wide) {
    const size_t left = (size_t)op->pad_left * op->in_channels;
    const size_t width = (size_t)op->in_width * op->in_channels;
    const size_t inside = width < op->pitch - left ? width : op->pitch - left;
    for (int32_t i = 0; i < op->kernel_h; i++, wide += op->pitch) {
        const size_t begin = rows[i] == NULL ? op->pitch : left;
        const size_t end = rows[i] == NULL ? op->pitch : left + inside;
        for (size_t k = 0; k < begin; k++) {
            wide[k] = op->in_zero_point;
        }
        for (size_t k = begin; k < end; k++) {
            wide[k] = rows[i][k - left];
        }
        for (size_t k = end; k < op->pitch; k++) {
            wide[k] = op->in_zero_point;
        }
    }
}

/* A pair of int16 in every lane. */
VAD_INLINE vad_i16x16 pair_at(const int16_t *from) {
    int32_t pair;
    memcpy(&pair, from, sizeof pair);
    return (vad_i16x16)vad_splat(pair);
}

VAD_INLINE void block(const vad_host_conv2d_t *op, const int16_t *wide, int32_t x, int32_t panel,
                      int32_t panels, int8_t *out) {
    const size_t step = (size_t)op->stride_w * op->in_channels;
    const size_t row_weights = (size_t)op->half_depth * 2 * VAD_LANES;
    const size_t panel_weights = op->kernel_h * row_weights;
    const int8_t *weights = op->weights + (size_t)panel * panel_weights;
    vad_i32x8 acc[PIXELS][PANELS];
    for (int32_t n = 0; n < panels; n++) {
        for (int32_t p = 0; p < PIXELS; p++) {
            acc[p][n] = vad_load_i32x8(op->bias + (panel + n) * VAD_LANES);
        }
    }
    wide += (size_t)x * step;
    for (int32_t i = 0; i < op->kernel_h; i++, wide += op->pitch, weights += row_weights) {
        for (size_t k = 0; k < op->half_depth; k++) {
            vad_i16x16 w[PANELS];
            for (int32_t n = 0; n < panels; n++) {
                w[n] = vad_load_i8x16(weights + (size_t)n * panel_weights + k * 2 * VAD_LANES);
            }
            for (int32_t p = 0; p < PIXELS; p++) {
                const vad_i16x16 in = pair_at(wide + (size_t)p * step + 2 * k);
                for (int32_t n = 0; n < panels; n++) {
                    acc[p][n] = vad_dot2(acc[p][n], in, w[n]);
                }
            }
        }
    }
    const int32_t pixels = op->out_width - x < PIXELS ? op->out_width - x : PIXELS;
    for (int32_t n = 0; n < panels; n++) {
        const int32_t o = (panel + n) * VAD_LANES;
        const int32_t rest = op->out_channels - o;
        const vad_requant8_t q =
            vad_requant8(vad_load_i32x8(op->multiplier + o), vad_load_i8(op->shift + o, VAD_LANES),
                         op->out_zero_point, op->low, op->high);
        for (int32_t p = 0; p < PIXELS; p++) {
            if (p < pixels) {
                vad_store_i8(out + (x + p) * op->out_channels + o, vad_requantize8(&q, acc[p][n]),
                             rest < VAD_LANES ? rest : VAD_LANES);
            }
        }
    }
}

/* Panels outside, so that their weights stay in the cache while the row passes. */
void vad_host_conv2d(const vad_host_conv2d_t *op, const int8_t *const *rows, int8_t *out,
                     void *scratch) {
    int16_t *wide = scratch;
    widen(op, rows, wide);
    const int32_t n_panels = (op->out_channels + VAD_LANES - 1) / VAD_LANES;
    int32_t panel = 0;
    for (; panel + PANELS <= n_panels; panel += PANELS) {
        for (int32_t x = 0; x < op->out_width; x += PIXELS) {
            block(op, wide, x, panel, PANELS, out);
        }
    }
    for (; panel < n_panels; panel++) {
        for (int32_t x = 0; x < op->out_width; x += PIXELS) {
            block(op, wide, x, panel, 1, out);
        }
    }
}
