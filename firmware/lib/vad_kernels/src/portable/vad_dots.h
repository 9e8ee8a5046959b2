/* What the portable convolutions share: dot products of two pixels with two output channels, and
 * how sums become outputs. */
#ifndef VAD_DOTS_H
#define VAD_DOTS_H

#include "vad_kernel.h"

/* Sums of pixels a and b with channels 0 and 1. */
typedef struct {
    int32_t a0, b0, a1, b1;
} vad_dots_t;

/* Adds the products of `count` inputs; the four numbers that are read make four of them. The
 * pointers walk. */
static inline __attribute__((always_inline)) void vad_dots(vad_dots_t *s, const int8_t **pa,
                                                           const int8_t **pb, const int8_t **pw0,
                                                           const int8_t **pw1, int32_t count) {
    const int8_t *a = *pa, *b = *pb, *w0 = *pw0, *w1 = *pw1;
#define VAD_DOT(k)                                                                                 \
    {                                                                                              \
        const int32_t x = a[k], y = b[k], u = w0[k], v = w1[k];                                    \
        s->a0 += x * u;                                                                            \
        s->b0 += y * u;                                                                            \
        s->a1 += x * v;                                                                            \
        s->b1 += y * v;                                                                            \
    }
    for (const int8_t *end = a + (count & ~3); a != end; a += 4, b += 4, w0 += 4, w1 += 4) {
        VAD_DOT(0)
        VAD_DOT(1)
        VAD_DOT(2)
        VAD_DOT(3)
    }
    for (const int8_t *end = a + (count & 3); a != end; a++, b++, w0++, w1++) {
        VAD_DOT(0)
    }
#undef VAD_DOT
    *pa = a;
    *pb = b;
    *pw0 = w0;
    *pw1 = w1;
}

/* Two sums of a channel to outputs, where vad_requantize_upper takes every sum of the layer, and
 * its limits are those of int8. Both are there before one is stored: int8_t may alias anything. */
static inline __attribute__((always_inline)) void
vad_finish_upper(int32_t a, int32_t b, int32_t multiplier, int32_t shift, int32_t zero_point,
                 int8_t *out_a, int8_t *out_b) {
    const int32_t constant = (2 * zero_point + 1) * (1 << -shift) + 1;
    const int8_t y = vad_saturate(vad_requantize_upper(a, multiplier, -shift, constant));
    const int8_t z = vad_saturate(vad_requantize_upper(b, multiplier, -shift, constant));
    *out_a = y;
    *out_b = z;
}

#endif
