#include "vad_depthwise_conv2d.h"

#include <stddef.h>

#include "vad_dots.h"

/* A channel's two outputs by the general requantization. */
static __attribute__((noinline)) void finish(const vad_depthwise_conv2d_t *op, int32_t o, int32_t a,
                                             int32_t b, int8_t *out_a, int8_t *out_b) {
    const int32_t multiplier = op->multiplier[o];
    const int32_t shift = op->shift[o];
    *out_a = vad_output(a, multiplier, shift, op->out_zero_point, op->low, op->high);
    *out_b = vad_output(b, multiplier, shift, op->out_zero_point, op->low, op->high);
}

/* A row of a 3x3 window, of two pixels `step` inputs apart. */
#define VAD_ROW(row, w)                                                                            \
    a += row[0] * w[0] + row[channels] * w[1] + row[2 * channels] * w[2];                          \
    b += row[step] * w[0] + row[step + channels] * w[1] + row[step + 2 * channels] * w[2];

/* Two pixels whose 3x3 windows lie in the image, `stride` columns apart; depth multiplier 1. */
static inline __attribute__((always_inline)) void inside_3x3(const vad_depthwise_conv2d_t *op,
                                                             const int8_t *const *rows,
                                                             int32_t left, int32_t stride,
                                                             int8_t *out_a, int8_t *out_b) {
    const int32_t channels = op->in_channels;
    const int32_t step = stride * channels;
    const int8_t *top = rows[0] + left * channels;
    const int8_t *middle = rows[1] + left * channels;
    const int8_t *bottom = rows[2] + left * channels;
    const int32_t zero_point = op->out_zero_point;
    const int32_t *const multiplier = op->multiplier;
    const int8_t *const shift = op->shift;
    const int32_t upper = op->upper;
    const int32_t *const bias = op->bias;
    const int8_t *w = op->weights;
    for (int32_t c = 0; c < channels; c++, top++, middle++, bottom++, w += 9) {
        int32_t a = bias[c];
        int32_t b = a;
        VAD_ROW(top, w)
        VAD_ROW(middle, (w + 3))
        VAD_ROW(bottom, (w + 6))
        if (upper) {
            vad_finish_upper(a, b, multiplier[c], shift[c], zero_point, out_a + c, out_b + c);
        } else {
            finish(op, c, a, b, out_a + c, out_b + c);
        }
    }
}

/* The same for windows of any height and any depth multiplier, whose columns lie in the image, but
 * not all of their rows. */
static inline __attribute__((always_inline)) void
inside(const vad_depthwise_conv2d_t *op, const int8_t *const *rows, int32_t left, int32_t step,
       int32_t width, int32_t multiplier, int8_t *out_a, int8_t *out_b) {
    const int32_t channels = op->in_channels;
    const int32_t outputs = channels * multiplier;
    const int32_t height = op->kernel_h;
    const int32_t padding = op->in_zero_point;
    const int8_t *w = op->weights;
    int32_t at = left * channels;
    int32_t same = multiplier; /* outputs still to come from this channel */
    for (int32_t o = 0; o < outputs; o++) {
        int32_t a = op->bias[o];
        int32_t uncovered = 0;
        int32_t b = a;
        for (int32_t i = 0; i < height; i++, w += width) {
            if (rows[i] == NULL) {
                for (int32_t j = 0; j < width; j++) {
                    uncovered += w[j];
                }
                continue;
            }
            const int8_t *x = rows[i] + at;
            const int8_t *y = x + step;
            for (int32_t j = 0; j < width; j++, x += channels, y += channels) {
                const int32_t weight = w[j];
                a += *x * weight;
                b += *y * weight;
            }
        }
        a += padding * uncovered;
        b += padding * uncovered;
        if (op->upper) {
            vad_finish_upper(a, b, op->multiplier[o], op->shift[o], op->out_zero_point, out_a + o,
                             out_b + o);
        } else {
            finish(op, o, a, b, out_a + o, out_b + o);
        }
        if (--same == 0) {
            same = multiplier;
            at++;
        }
    }
}

static __attribute__((noinline)) void two(const vad_depthwise_conv2d_t *op,
                                          const int8_t *const *rows, int32_t left, int32_t stride,
                                          int8_t *out_a, int8_t *out_b) {
    const int32_t step = stride * op->in_channels;
    const int32_t width = op->depth_multiplier == 1 ? op->kernel_w : 0;
    const int is_3x3 =
        op->kernel_h == 3 && width == 3 && rows[0] != NULL && rows[1] != NULL && rows[2] != NULL;
    if (is_3x3 && stride == 1) {
        inside_3x3(op, rows, left, 1, out_a, out_b);
    } else if (is_3x3 && stride == 2) {
        inside_3x3(op, rows, left, 2, out_a, out_b);
    } else if (is_3x3 && stride == 0) {
        inside_3x3(op, rows, left, 0, out_a, out_b);
    } else if (width == 3) {
        inside(op, rows, left, step, 3, 1, out_a, out_b);
    } else if (width == 5) {
        inside(op, rows, left, step, 5, 1, out_a, out_b);
    } else {
        inside(op, rows, left, step, op->kernel_w, op->depth_multiplier, out_a, out_b);
    }
}

/* One pixel with any window: outside the image are zero points. */
static void anywhere(const vad_depthwise_conv2d_t *op, const int8_t *const *rows, int32_t left,
                     int8_t *out) {
    const int32_t channels = op->in_channels;
    const int32_t width = op->kernel_w;
    const int32_t first = left < 0 ? -left : 0;
    const int32_t inside = op->in_width - left;
    const int32_t end = inside < width ? inside : width;
    const int8_t *w = op->weights;
    int32_t o = 0;
    for (int32_t c = 0; c < channels; c++) {
        for (int32_t m = 0; m < op->depth_multiplier; m++, o++) {
            int32_t sum = op->bias[o];
            int32_t uncovered = 0;
            for (int32_t i = 0; i < op->kernel_h; i++, w += width) {
                int32_t j = 0;
                if (rows[i] != NULL) {
                    for (; j < first; j++) {
                        uncovered += w[j];
                    }
                    const int8_t *in = rows[i] + (left + first) * channels + c;
                    for (; j < end; j++, in += channels) {
                        sum += *in * w[j];
                    }
                }
                for (; j < width; j++) {
                    uncovered += w[j];
                }
            }
            sum += op->in_zero_point * uncovered;
            finish(op, o, sum, sum, out + o, out + o);
        }
    }
}

void vad_depthwise_conv2d(const vad_depthwise_conv2d_t *op, const int8_t *const *rows, int8_t *out,
                          void *scratch) {
    (void)scratch;
    const int32_t outputs = op->in_channels * op->depth_multiplier;
    const int32_t most = op->in_width - op->kernel_w; /* of left */
    int32_t left = -op->pad_left;
    for (int32_t x = 0; x < op->out_width; x++, left += op->stride_w, out += outputs) {
        if (left < 0 || left > most) {
            anywhere(op, rows, left, out);
        } else if (x + 1 < op->out_width && left + op->stride_w <= most) {
            two(op, rows, left, op->stride_w, out, out + outputs);
            x++;
            left += op->stride_w;
            out += outputs;
        } else {
            two(op, rows, left, 0, out, out);
        }
    }
}
