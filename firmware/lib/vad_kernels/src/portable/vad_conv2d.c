#include "vad_conv2d.h"

#include <stddef.h>

#include "vad_dots.h"

/* A channel's two outputs by the general requantization. */
static __attribute__((noinline)) void finish(const vad_conv2d_t *op, int32_t o, int32_t a,
                                             int32_t b, int8_t *out_a, int8_t *out_b) {
    const int32_t multiplier = op->multiplier[o];
    const int32_t shift = op->shift[o];
    *out_a = vad_output(a, multiplier, shift, op->out_zero_point, op->low, op->high);
    *out_b = vad_output(b, multiplier, shift, op->out_zero_point, op->low, op->high);
}

/* Two pixels whose windows lie in the image, with two channels at a time; a last odd channel is its
 * own partner. left: the first one's first column; step: bytes to the second one's. */
static void inside(const vad_conv2d_t *op, const int8_t *const *rows, int32_t left, int32_t step,
                   int8_t *out_a, int8_t *out_b) {
    const int32_t line = op->kernel_w * op->in_channels;
    const int32_t outputs = op->out_channels;
    const int32_t zero_point = op->out_zero_point;
    const int8_t *w0 = op->weights;
    for (int32_t o = 0; o < outputs; o += 2) {
        const int32_t p = o + (o + 1 < outputs);
        const int8_t *w1 = w0 + (p - o) * op->kernel_h * line;
        vad_dots_t s = {op->bias[o], op->bias[o], op->bias[p], op->bias[p]};
        for (int32_t i = 0; i < op->kernel_h; i++) {
            const int8_t *a = rows[i] + left * op->in_channels;
            const int8_t *b = a + step;
            vad_dots(&s, &a, &b, &w0, &w1, line);
        }
        w0 = w1;
        if (op->upper) {
            vad_finish_upper(s.a0, s.b0, op->multiplier[o], op->shift[o], zero_point, out_a + o,
                             out_b + o);
            vad_finish_upper(s.a1, s.b1, op->multiplier[p], op->shift[p], zero_point, out_a + p,
                             out_b + p);
        } else {
            finish(op, o, s.a0, s.b0, out_a + o, out_b + o);
            finish(op, p, s.a1, s.b1, out_a + p, out_b + p);
        }
    }
}

static int32_t sum_of(const int8_t *from, const int8_t *end) {
    int32_t sum = 0;
    while (from != end) {
        sum += *from++;
    }
    return sum;
}

/* One pixel whose window may reach over the border: outside are zero points. */
static void at_border(const vad_conv2d_t *op, const int8_t *const *rows, int32_t left,
                      int8_t *out) {
    const int32_t channels = op->in_channels;
    const int32_t line = op->kernel_w * channels;
    const int32_t first = left < 0 ? -left : 0;
    const int32_t inside = op->in_width - left;
    const int32_t end = inside < op->kernel_w ? inside : op->kernel_w;
    const int8_t *w = op->weights;
    for (int32_t o = 0; o < op->out_channels; o++) {
        int32_t sum = op->bias[o];
        int32_t uncovered = 0;
        for (int32_t i = 0; i < op->kernel_h; i++, w += line) {
            if (rows[i] == NULL) {
                uncovered += sum_of(w, w + line);
                continue;
            }
            uncovered += sum_of(w, w + first * channels) + sum_of(w + end * channels, w + line);
            const int8_t *in = rows[i] + (left + first) * channels;
            for (int32_t k = first * channels; k < end * channels; k++) {
                sum += *in++ * w[k];
            }
        }
        sum += op->in_zero_point * uncovered;
        finish(op, o, sum, sum, out + o, out + o);
    }
}

void vad_conv2d(const vad_conv2d_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    int complete = 1;
    for (int32_t i = 0; i < op->kernel_h; i++) {
        complete &= rows[i] != NULL;
    }
    const int32_t most = complete ? op->in_width - op->kernel_w : -1; /* of `left` */
    int32_t left = -op->pad_left;
    for (int32_t x = 0; x < op->out_width; x++, left += op->stride_w, out += op->out_channels) {
        if (left < 0 || left > most) {
            at_border(op, rows, left, out);
        } else if (x + 1 < op->out_width && left + op->stride_w <= most) {
            inside(op, rows, left, op->stride_w * op->in_channels, out, out + op->out_channels);
            x++;
            left += op->stride_w;
            out += op->out_channels;
        } else {
            inside(op, rows, left, 0, out, out);
        }
    }
}
