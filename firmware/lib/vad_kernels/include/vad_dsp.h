/* What the kernels for ARMv7E-M and ARMv8-M cores with the DSP extension share. */
#ifndef VAD_DSP_H
#define VAD_DSP_H

#include <arm_acle.h>
#include <stdint.h>

/* An output channel's constants. */
typedef struct {
    int32_t bias;       /* holds -zero point * sum of weights */
    int32_t multiplier; /* Q0.31 */
    int32_t shift;      /* right shift of the requantization, minus 1: in [0, 21] */
} vad_dsp_channel_t;

/* Loads stay on their side of it. GCC would hoist them all to the top and spill what it cannot
 * hold; these cores have twelve registers and nothing to gain from early loads. */
#define VAD_DSP_IN_ORDER() __asm__ volatile("" ::: "memory")

/* Four int8 in memory order. */
static inline uint32_t vad_dsp_load(const int8_t *p) {
    uint32_t word;
    __builtin_memcpy(&word, __builtin_assume_aligned(p, 4), sizeof word);
    return word;
}

/* Bytes 0 and 2 as int16, and bytes 1 and 3. */
static inline uint32_t vad_dsp_even(uint32_t word) {
    return (uint32_t)__sxtb16((int8x4_t)word);
}

static inline uint32_t vad_dsp_odd(uint32_t word) {
    uint32_t pair;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
    return pair;
}

/* Low halves of two words, and their high halves, as pairs. */
static inline uint32_t vad_dsp_low(uint32_t a, uint32_t b) {
    uint32_t pair;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(pair) : "r"(a), "r"(b));
    return pair;
}

static inline uint32_t vad_dsp_high(uint32_t a, uint32_t b) {
    uint32_t pair;
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(pair) : "r"(b), "r"(a));
    return pair;
}

static inline int32_t vad_dsp_mac(uint32_t a, uint32_t b, int32_t acc) {
    return __smlad((int16x2_t)a, (int16x2_t)b, acc);
}

/* vad_requantize plus the zero point, saturated to int8, for |acc| < 2^30 and right shifts
 * r = shift + 1 from 1 to 22. odd: 2 * zero point + 1, so that odd << shift is the rounding
 * constant 2^(r - 1) plus the zero point shifted by r. SMMLAR rounds the doubled product as the
 * doubling high multiply does; adding the sign before the last shift makes its ties go away from
 * zero. */
static inline int8_t vad_dsp_finish(int32_t acc, int32_t multiplier, int32_t shift, int32_t odd) {
    int32_t t = odd << shift;
    __asm__("smmlar %0, %1, %2, %0" : "+r"(t) : "r"(acc << 1), "r"(multiplier));
    __asm__("add %0, %0, %1, asr #31" : "+r"(t) : "r"(acc));
    t >>= shift;
    __asm__("ssat %0, #8, %0, asr #1" : "+r"(t));
    return (int8_t)t;
}

/* Dot products of two vectors of `count` int16 quads with two rows of int8 weights. pair:
 * [count][8] int16, four of the first vector (elements 0, 2, 1, 3), then four of the second. */
typedef struct {
    int32_t a0, b0, a1, b1; /* vector a or b with row 0 or 1 */
} vad_dsp_dots_t;

/* Requantizes the four sums; out_a and out_b take two outputs each. */
static inline __attribute__((always_inline)) void vad_dsp_store(const vad_dsp_dots_t *s,
                                                                const vad_dsp_channel_t *channel,
                                                                int32_t odd, int8_t *out_a,
                                                                int8_t *out_b) {
    /* Read before the stores, which might alias for all the compiler knows. */
    const int32_t multiplier0 = channel[0].multiplier;
    const int32_t shift0 = channel[0].shift;
    const int32_t multiplier1 = channel[1].multiplier;
    const int32_t shift1 = channel[1].shift;
    out_a[0] = vad_dsp_finish(s->a0, multiplier0, shift0, odd);
    out_b[0] = vad_dsp_finish(s->b0, multiplier0, shift0, odd);
    out_a[1] = vad_dsp_finish(s->a1, multiplier1, shift1, odd);
    out_b[1] = vad_dsp_finish(s->b1, multiplier1, shift1, odd);
}

#define VAD_DSP_QUAD(i)                                                                            \
    do {                                                                                           \
        const uint32_t w0 = vad_dsp_load(row0 + 4 * (i));                                          \
        const uint32_t w1 = vad_dsp_load(row1 + 4 * (i));                                          \
        const uint32_t w0_even = vad_dsp_even(w0);                                                 \
        const uint32_t w0_odd = vad_dsp_odd(w0);                                                   \
        const uint32_t w1_even = vad_dsp_even(w1);                                                 \
        const uint32_t w1_odd = vad_dsp_odd(w1);                                                   \
        s.a0 = vad_dsp_mac(pair[4 * (i)], w0_even, s.a0);                                          \
        s.a1 = vad_dsp_mac(pair[4 * (i)], w1_even, s.a1);                                          \
        s.a0 = vad_dsp_mac(pair[4 * (i) + 1], w0_odd, s.a0);                                       \
        s.a1 = vad_dsp_mac(pair[4 * (i) + 1], w1_odd, s.a1);                                       \
        s.b0 = vad_dsp_mac(pair[4 * (i) + 2], w0_even, s.b0);                                      \
        s.b1 = vad_dsp_mac(pair[4 * (i) + 2], w1_even, s.b1);                                      \
        s.b0 = vad_dsp_mac(pair[4 * (i) + 3], w0_odd, s.b0);                                       \
        s.b1 = vad_dsp_mac(pair[4 * (i) + 3], w1_odd, s.b1);                                       \
        VAD_DSP_IN_ORDER();                                                                        \
    } while (0)

static inline __attribute__((always_inline)) vad_dsp_dots_t
vad_dsp_dots(const uint32_t *pair, const int8_t *row0, const int8_t *row1, uint32_t count,
             int32_t bias0, int32_t bias1) {
    vad_dsp_dots_t s = {bias0, bias0, bias1, bias1};
    const uint32_t *end = pair + 4 * (count & ~1u);
    while (pair != end) {
        VAD_DSP_QUAD(0);
        VAD_DSP_QUAD(1);
        row0 += 8;
        row1 += 8;
        pair += 8;
    }
    if (count & 1u) {
        VAD_DSP_QUAD(0);
    }
    return s;
}

#endif
