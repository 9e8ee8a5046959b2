/* Squared distances of int8 vectors, four values at a time where the core can (the DSP extension of
 * Armv7E-M and Armv8-M), to the same bits. */
#ifndef VAD_SQUARED_DISTANCE_H
#define VAD_SQUARED_DISTANCE_H

#include <stdint.h>

#if defined(__ARM_FEATURE_SIMD32)
#define VAD_DISTANCE_SIMD 1
#include <arm_acle.h>
#else
#define VAD_DISTANCE_SIMD 0
#endif

/* |a - b| <= 255, so a term is below 2^16. */
static inline uint32_t vad_squared_difference(int32_t a, int32_t b) {
    return (uint32_t)((a - b) * (a - b));
}

#if VAD_DISTANCE_SIMD
/* Four int8 values, at any address. */
static inline uint32_t vad_four_values(const int8_t *data) {
    uint32_t word;
    __builtin_memcpy(&word, data, sizeof word);
    return word;
}

/* Values 0 and 2 of four as int16, and values 1 and 3. */
static inline int16x2_t vad_even_values(uint32_t word) {
    return __sxtb16((int8x4_t)word);
}

static inline int16x2_t vad_odd_values(uint32_t word) {
    int16x2_t odd;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(odd) : "r"(word));
    return odd;
}

/* `sum` plus the squared differences of two pairs; it wraps like uint32. */
static inline uint32_t vad_add_squares(int16x2_t a, int16x2_t b, uint32_t sum) {
    const int16x2_t difference = __ssub16(a, b);
    return (uint32_t)__smlad(difference, difference, (int32_t)sum);
}
#endif

/* Squared distance of two int8 vectors. */
static inline uint32_t vad_squared_distance(const int8_t *a, const int8_t *b, uint32_t n) {
    uint32_t sum = 0;
    for (; n >= 4; n -= 4) {
#if VAD_DISTANCE_SIMD
        const uint32_t left = vad_four_values(a);
        const uint32_t right = vad_four_values(b);
        sum = vad_add_squares(vad_even_values(left), vad_even_values(right), sum);
        sum = vad_add_squares(vad_odd_values(left), vad_odd_values(right), sum);
#else
        sum += vad_squared_difference(a[0], b[0]);
        sum += vad_squared_difference(a[1], b[1]);
        sum += vad_squared_difference(a[2], b[2]);
        sum += vad_squared_difference(a[3], b[3]);
#endif
        a += 4;
        b += 4;
    }
    for (; n > 0; n--) {
        sum += vad_squared_difference(*a++, *b++);
    }
    return sum;
}

/* Squared distances of one vector to `n` others, int8 [n][dims], to `distances`; returns the least.
 */
uint32_t vad_squared_distances(const int8_t *vector, const int8_t *others, uint32_t n,
                               uint32_t dims, uint32_t *distances);

#endif
