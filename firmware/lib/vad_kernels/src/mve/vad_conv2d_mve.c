#include "vad_conv2d_mve.h"

#include <arm_mve.h>

#include "vad_mve.h"

/* `count` output pixels from `first` on, whose inputs lie at `pixels`, `bytes` from one to the
 * next. */
static void multiply(const vad_conv2d_mve_t *op, const int8_t *pixels, uint32_t bytes,
                     int32_t first, int32_t count, int8_t *out) {
    const uint32_t step = op->planes ? 1 : op->out_channels;
    const vad_mve_dots_t dots = {
        .pixels = pixels,
        .pixel_bytes = bytes,
        .count = (uint32_t)count,
        .out = out + (uint32_t)first * step,
        .pixel_step = step,
        .plane = op->planes ? op->out_width : 1,
        .stream = op->stream,
        .channels = op->out_channels,
        .chunks = op->chunks,
        .zero_point = op->out_zero_point,
    };
    op->dots(&dots);
}

void vad_pointwise_mve(const vad_conv2d_mve_t *op, const int8_t *const *rows, int8_t *out,
                       void *scratch) {
    (void)scratch;
    multiply(op, rows[0], op->in_channels, 0, op->out_width, out);
}

/* Copies whole sixteens, so up to 15 more than `bytes`. */
static inline void copy(int8_t *to, const int8_t *from, int32_t bytes) {
    for (int32_t k = 0; k < bytes; k += 16) {
        vst1q_s8(to + k, vld1q_s8(from + k));
    }
}

/* A row of a window that reaches over the left or right border: outside are zero points. */
static void patch(const vad_conv2d_mve_t *op, const int8_t *row, int32_t left, int8_t *line) {
    for (int32_t j = left; j < left + op->kernel_w; j++) {
        for (int32_t c = 0; c < op->in_channels; c++) {
            const int inside = j >= 0 && j < op->in_width;
            *line++ = inside ? row[j * op->in_channels + c] : op->in_zero_point;
        }
    }
}

/* Windows of 3 rows of at most 16 inputs inside the image, `step` inputs apart. */
static int8_t *small_windows(const vad_conv2d_mve_t *op, const int8_t *const *rows, int32_t left,
                             int32_t count, int8_t *to) {
    const int32_t line = op->kernel_w * op->in_channels;
    const int32_t step = op->stride_w * op->in_channels;
    const int32_t pitch = 16 * op->chunks;
    const int8_t *top = rows[0] + left * op->in_channels;
    const int8_t *middle = rows[1] + left * op->in_channels;
    const int8_t *bottom = rows[2] + left * op->in_channels;
    for (const int8_t *end = to + count * pitch; to != end; to += pitch) {
        vst1q_s8(to, vld1q_s8(top));
        vst1q_s8(to + line, vld1q_s8(middle));
        vst1q_s8(to + 2 * line, vld1q_s8(bottom));
        top += step;
        middle += step;
        bottom += step;
    }
    return to;
}

/* Windows of the output pixels `first` .. `end` - 1, in this order: each may spoil the next. */
static void gather(const vad_conv2d_mve_t *op, const int8_t *const *rows, int32_t first,
                   int32_t end, int8_t *to, const int8_t *padding) {
    const int32_t line = op->kernel_w * op->in_channels;
    const int small =
        op->kernel_h == 3 && line <= 16 && rows[0] != NULL && rows[1] != NULL && rows[2] != NULL;
    for (int32_t x = first; x < end;) {
        const int32_t left = x * op->stride_w - op->pad_left;
        const int32_t right = op->in_width - op->kernel_w - left; /* of the window */
        if (small && left >= 0 && right >= 0) {
            const int32_t most = right / op->stride_w + 1;
            const int32_t count = most < end - x ? most : end - x;
            to = small_windows(op, rows, left, count, to);
            x += count;
            continue;
        }
        for (int32_t i = 0; i < op->kernel_h; i++) {
            if (rows[i] == NULL) {
                copy(to + i * line, padding, line);
            } else if (left >= 0 && right >= 0) {
                copy(to + i * line, rows[i] + left * op->in_channels, line);
            } else {
                patch(op, rows[i], left, to + i * line);
            }
        }
        to += 16 * op->chunks;
        x++;
    }
}

void vad_conv2d_mve(const vad_conv2d_mve_t *op, const int8_t *const *rows, int8_t *out,
                    void *scratch) {
    int8_t *windows = scratch;
    int8_t *padding = windows + 16 * op->chunks * op->pixels + 16;
    patch(op, NULL, -op->kernel_w, padding);
    for (int32_t first = 0; first < op->out_width; first += op->pixels) {
        const int32_t left = op->out_width - first;
        const int32_t count = left < op->pixels ? left : op->pixels;
        gather(op, rows, first, first + count, windows, padding);
        multiply(op, windows, 16u * op->chunks, first, count, out);
    }
}
