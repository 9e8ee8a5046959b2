#include "vad_conv2d_dsp.h"

#include "vad_dsp.h"

/* Zeros around the pixels of each plane: those right of one lie next to those left of the next, and
 * mostly there are two of them. */
static void clear_margins(const vad_conv2d_dsp_t *op, int16_t *out) {
    const int32_t right = op->plane - op->left - op->out_width;
    const int32_t gap = op->left + right;
    const int16_t *end = out + op->out_channels * op->plane - right;
    vad_dsp_clear(out, op->left);
    out += op->left + op->out_width;
    if (gap == 2) {
        for (; out != end; out += op->plane) {
            vad_dsp_store(out, 0);
        }
    } else {
        for (; out != end; out += op->plane) {
            vad_dsp_clear(out, gap);
        }
    }
    vad_dsp_clear(out, right);
}

/* `count` output pixels from `first` on, whose inputs lie at `pixels`, ended by `end`. */
static void multiply(const vad_conv2d_dsp_t *op, const uint32_t *pixels, const uint32_t *end,
                     uint32_t *weights, int32_t first, int32_t count, int8_t *out) {
    const uint32_t plane_bytes = 2u * op->plane;
    const uint32_t lone = plane_bytes == 0 ? (uint32_t)count % 2 : 0;
    vad_dsp_dots_t dots = {
        .pixels = pixels,
        .pixels_whole = end - lone * 4 * op->quads,
        .pixels_end = end,
        .pixel_step = plane_bytes == 0 ? op->out_channels : plane_bytes,
        .out = plane_bytes == 0 ? out + first * op->out_channels : out + 2 * (op->left + first),
        .out_next = plane_bytes == 0 ? 2 : 2 * plane_bytes,
        .stream = op->stream,
        .n_pairs = op->out_channels / 2,
        .weights = weights,
        .weights_end = weights + 4 + 4 * op->quads,
    };
    op->dots(&dots);
    if (op->out_channels % 2 != 0) {
        dots.out += (uint32_t)(op->out_channels - 2) * (dots.out_next / 2);
        dots.stream += dots.n_pairs * op->pair;
        dots.n_pairs = 1;
        op->dots(&dots);
    }
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
        multiply(op, pixels, end, pixels + 2 * op->quads * op->pixels, first, count, out);
    }
    if (op->plane != 0) {
        clear_margins(op, (int16_t *)(void *)out);
    }
}

/* One pixel's window, at window[i] its rows, to quads that lie 4 words apart. */
static __attribute__((noinline)) void spread(const vad_conv2d_dsp_t *op,
                                             const int8_t *const *window, uint32_t *to) {
    const int32_t line = op->kernel_w * op->in_channels;
    for (int32_t i = 0; i < op->kernel_h; i++) {
        for (int32_t k = 0; k + 4 <= line; k += 4, to += 4) {
            vad_dsp_widen_quad(window[i] + k, to);
        }
    }
    uint32_t word = 0;
    uint32_t bits = 0;
    for (int32_t i = 0; i < op->kernel_h; i++) {
        for (int32_t k = line & ~3; k < line; k++) {
            word |= (uint32_t)(uint8_t)window[i][k] << bits;
            bits = (bits + 8) % 32;
            if (bits == 0) {
                vad_dsp_widen_word(word, to);
                to += 4;
                word = 0;
            }
        }
    }
    if (bits != 0) {
        vad_dsp_widen_word(word, to);
    }
}

/* A row of a window that reaches over the left or right border: outside are zero points. */
static __attribute__((noinline)) void patch(const vad_conv2d_dsp_t *op, const int8_t *row,
                                            int32_t left, int8_t *line) {
    for (int32_t j = left; j < left + op->kernel_w; j++) {
        for (int32_t c = 0; c < op->in_channels; c++) {
            const int inside = j >= 0 && j < op->in_width;
            *line++ = inside ? row[j * op->in_channels + c] : op->in_zero_point;
        }
    }
}

/* Output pixels `first` .. `end` - 1, from an even one on, as pairs at `pixels`. */
static void widen(const vad_conv2d_dsp_t *op, const int8_t *const *rows, int32_t first, int32_t end,
                  uint32_t *pixels, const int8_t **window) {
    const int32_t line = op->kernel_w * op->in_channels;
    const int8_t *outside = (const int8_t *)(window + op->kernel_h);
    int8_t *patches = (int8_t *)(window + op->kernel_h) + line;
    for (int32_t x = first; x < end;) {
        uint32_t *to = pixels + (x - first) / 2 * 4 * op->quads + x % 2 * 2;
        const int32_t left = x * op->stride_w - op->pad_left;
        const int inside = left >= 0 && left + op->kernel_w <= op->in_width;
        for (int32_t i = 0; i < op->kernel_h; i++) {
            if (rows[i] != NULL && !inside) {
                patch(op, rows[i], left, patches + i * line);
            }
            window[i] = rows[i] == NULL ? outside
                        : inside        ? rows[i] + left * op->in_channels
                                        : patches + i * line;
        }
        if (op->kernel_h == 3 && line == 9 && inside && window[0] != outside &&
            window[1] != outside && window[2] != outside) {
            const int32_t last = (op->in_width - op->kernel_w + op->pad_left) / op->stride_w + 1;
            const int32_t count = (last < end ? last : end) - x;
            vad_dsp_widen_stem(window, op->stride_w * op->in_channels, (uint32_t)count, to,
                               (uint32_t)x % 2);
            x += count;
        } else {
            spread(op, window, to);
            x++;
        }
    }
}

void vad_conv2d_dsp(const vad_conv2d_dsp_t *op, const int8_t *const *rows, int8_t *out,
                    void *scratch) {
    uint32_t *pixels = scratch;
    uint32_t *weights = pixels + 2 * op->quads * op->pixels;
    const int8_t **window = (const int8_t **)(weights + 4 + 4 * op->quads);
    patch(op, NULL, -op->kernel_w, (int8_t *)(window + op->kernel_h));
    for (int32_t first = 0; first < op->out_width; first += op->pixels) {
        const int32_t left = op->out_width - first;
        const int32_t count = left < op->pixels ? left : op->pixels;
        widen(op, rows, first, first + count, pixels, window);
        multiply(op, pixels, pixels + (count + 1) / 2 * 4 * op->quads, weights, first, count, out);
    }
    if (op->plane != 0) {
        clear_margins(op, (int16_t *)(void *)out);
    }
}
