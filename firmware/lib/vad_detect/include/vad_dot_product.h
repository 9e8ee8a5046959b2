/* Products of int8 vectors, four values at a time where the core can, to the same bits. */
#ifndef VAD_DOT_PRODUCT_H
#define VAD_DOT_PRODUCT_H

#include "vad_squared_distance.h"

/* `sum` plus the product of two int8 vectors; at most 2^16 values each leave it within 2^30. */
static inline int32_t vad_dot_product(const int8_t *a, const int8_t *b, uint32_t n, int32_t sum) {
    for (; n >= 4; n -= 4) {
#if VAD_DISTANCE_SIMD
        const uint32_t left = vad_four_values(a);
        const uint32_t right = vad_four_values(b);
        sum = __smlad(vad_even_values(left), vad_even_values(right), sum);
        sum = __smlad(vad_odd_values(left), vad_odd_values(right), sum);
#else
        sum += a[0] * b[0];
        sum += a[1] * b[1];
        sum += a[2] * b[2];
        sum += a[3] * b[3];
#endif
        a += 4;
        b += 4;
    }
    for (; n > 0; n--) {
        sum += *a++ * *b++;
    }
    return sum;
}

#endif
