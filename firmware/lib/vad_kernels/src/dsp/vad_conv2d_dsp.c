#include "vad_conv2d_dsp.h"

#include <string.h>

#include "vad_dsp.h"

/* Zeros around the pixels of each plane: what is right of one lies next to what is left of the
 * next. */
static void clear_margins(const vad_conv2d_dsp_t *op, int16_t *out) {
    const int32_t right = op->plane - op->left - op->out_width;
    for (int32_t i = 0; i < op->left; i++) {
        out[i] = 0;
    }
    int16_t *margin = out + op->left + op->out_width;
    for (int32_t c = 1; c < op->out_channels; c++, margin += op->plane) {
        for (int32_t i = 0; i < right + op->left; i++) {
            margin[i] = 0;
        }
    }
    for (int32_t i = 0; i < right; i++) {
        margin[i] = 0;
    }
}

/* `count` output pixels from `first` on, whose inputs lie at `pixels`, ended by `end`. */
static void multiply(const vad_conv2d_dsp_t *op, const uint32_t *pixels, const uint32_t *end,
                     uint32_t *widened, int32_t first, int32_t count, int8_t *out) {
    const uint32_t plane_bytes = 2u * op->plane;
    const uint32_t lone = plane_bytes == 0 ? (uint32_t)count % 2 : 0;
    const vad_dsp_dots_t dots = {
        .pixels = pixels,
        .pixels_whole = end - lone * 4 * op->quads,
        .pixels_end = end,
        .pixel_step = plane_bytes == 0 ? op->out_channels : plane_bytes,
        .out = plane_bytes == 0 ? out + first * op->out_channels : out + 2 * (op->left + first),
        .out_next = plane_bytes == 0 ? 2 : 2 * plane_bytes,
        .widened = op->wide ? NULL : widened,
        .weight_bytes = 8 + 16 * (uint32_t)op->quads,
        .stream = op->stream,
        .n_pairs = op->out_channels / 2,
    };
    op->dots(&dots);
}

void vad_pointwise_dsp(const vad_conv2d_dsp_t *op, const int8_t *const *rows, int8_t *out,
                       void *scratch) {
    uint32_t *pixels = scratch;
    const int8_t *in = rows[0];
    for (int32_t first = 0; first < op->out_width; first += op->pixels) {
        const int32_t left = op->out_width - first;
        const int32_t count = left < op->pixels ? left : op->pixels;
        uint32_t *end = vad_dsp_widen(in, op->in_channels, (uint32_t)count / 2, pixels);
        in += (count & ~1) * op->in_channels;
        if (count & 1) {
            for (int32_t q = 0; q < op->quads; q++, in += 4, end += 4) {
                vad_dsp_widen_quad(in, end);
            }
        }
        multiply(op, pixels, end, pixels + 4 * op->quads * op->pixels / 2, first, count, out);
    }
    if (op->plane != 0) {
        clear_margins(op, (int16_t *)(void *)out);
    }
}

/* The pixels under the kernel of output pixel x; outside the image there are zero points. */
static void gather(const vad_conv2d_dsp_t *op, const int8_t *const *rows, int32_t x,
                   int8_t *patch) {
    const int32_t left = x * op->stride_w - op->pad_left;
    const int32_t first = left < 0 ? -left : 0;
    const int32_t inside = op->in_width - left;
    const int32_t end = inside < op->kernel_w ? inside : op->kernel_w;
    const size_t line = (size_t)op->kernel_w * op->in_channels;
    const size_t skip = (size_t)first * op->in_channels;
    const size_t count = (size_t)(end - first) * op->in_channels;
    for (uint32_t i = 0; i < op->kernel_h; i++, patch += line) {
        if (rows[i] == NULL || count != line) {
            memset(patch, (uint8_t)op->in_zero_point, line);
        }
        if (rows[i] != NULL) {
            const int8_t *from = rows[i] + (left + first) * (int32_t)op->in_channels;
            for (size_t k = 0; k < count; k++) {
                patch[skip + k] = from[k];
            }
        }
    }
}

void vad_conv2d_dsp(const vad_conv2d_dsp_t *op, const int8_t *const *rows, int8_t *out,
                    void *scratch) {
    uint32_t *pixels = scratch;
    int8_t *a = (int8_t *)(pixels + 4 * op->quads * op->pixels / 2);
    int8_t *b = a + 4 * op->quads;
    uint32_t *widened = (uint32_t *)(void *)(b + 4 * op->quads);
    for (int32_t first = 0; first < op->out_width; first += op->pixels) {
        const int32_t left = op->out_width - first;
        const int32_t count = left < op->pixels ? left : op->pixels;
        uint32_t *end = pixels;
        for (int32_t x = first; x < first + count; x += 2) {
            gather(op, rows, x, a);
            if (x + 1 < op->out_width) {
                gather(op, rows, x + 1, b);
            }
            end = vad_dsp_widen(a, 4 * op->quads, 1, end);
        }
        multiply(op, pixels, end, widened, first, count, out);
    }
    if (op->plane != 0) {
        clear_margins(op, (int16_t *)(void *)out);
    }
}
