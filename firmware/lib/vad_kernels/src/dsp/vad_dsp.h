/* What the kernels for ARMv7E-M and ARMv8-M cores with the DSP extension share.
 *
 * Two requantizations give the bits of vad_requantize, zero point and saturation included. Both
 * take from a 64-bit product only the upper word, plus a constant, which SMMLA does at once.
 *
 * signed: for right shifts r >= 1 and |sum| < 2^30. constant = 2^(r-1) + (zero point << r),
 *     t = ((2 * sum * multiplier + 2^31) >> 32) + constant   SMMLAR
 *     t += sum >> 31                                         ties go away from zero
 *     saturate(t >> r)
 *
 * short: for outputs whose zero point is their lowest value, as after RELU and RELU6. A negative
 *     sum saturates, so its ties do not matter. The channel's weights and bias are scaled by 2^s,
 *     s <= 8, such that every channel shifts right by 8 at the end:
 *     saturate((((sum << s) * multiplier >> 32) + constant) >> 8)
 *     multiplier, constant and s are found, and proved for every sum that can occur, where the
 *     kernel is chosen (kernels/requantize.py).
 */
#ifndef VAD_DSP_H
#define VAD_DSP_H

#include <stddef.h>
#include <stdint.h>

#include "vad_conv2d_dsp.h"

/* Argument of vad_dsp_dots_*; the order is known to vad_dsp_dots.S. */
struct vad_dsp_dots {
    const uint32_t *pixels;       /* pairs of pixels a and b, by quads of input channels: four of a
                                     in the order 0, 2, 1, 3, then four of b, as int16 */
    const uint32_t *pixels_whole; /* end of the pairs whose b exists (planes: all) */
    const uint32_t *pixels_end;
    uint32_t pixel_step; /* bytes from output pixel a to b; planes: to the next channel's plane */
    int8_t *out;         /* pixel 0 of channel 0 */
    uint32_t out_next;   /* bytes to the next pair of channels */
    const int32_t *stream;
    uint32_t n_pairs;  /* of output channels, at least 1 */
    uint32_t *weights; /* room for four biases and a pair of channels' weights as int16 */
    uint32_t *weights_end;
};

/* Argument of vad_dsp_depthwise_*; the order is known to vad_dsp_depthwise.S. */
typedef struct {
    uint32_t pixel;           /* bytes from an output pixel to the next */
    const int32_t *constants; /* of the first channel */
    int8_t *out;              /* pixel 0 of the first channel */
    uint32_t fours_bytes;     /* of output in whole fours of pixels */
    uint32_t rest;            /* pixels behind them, 0 to 3 */
    const int32_t *constants_end;
    intptr_t rows[14]; /* 3, 5 or 7 addresses of the first channel's planes, then as many steps in
                          bytes from where a channel's windows end to the next channel's plane */
} vad_dsp_depthwise_t;

/* Pairs of int8 pixels, side by side in memory, to vad_dsp_dots_t.pixels. channels: a multiple of
 * 4; in: 4-byte aligned. Returns the end of what it wrote. */
uint32_t *vad_dsp_widen(const int8_t *in, uint32_t channels, uint32_t n_pairs, uint32_t *pixels);

/* The same for windows of 3 rows of 9 inputs, n_pixels >= 1 of them, `step` inputs apart. rows:
 * where the first window's rows start; to: where its quads go; is_b: whether it is a pair's second.
 */
void vad_dsp_widen_stem(const int8_t *const *rows, uint32_t step, uint32_t n_pixels, uint32_t *to,
                        uint32_t is_b);

/* Four channels of pairs of int8 pixels, `channels` bytes apart, to four planes of int16,
 * plane_bytes apart. */
void vad_dsp_spread(const int8_t *in, uint32_t channels, uint32_t n_pairs, int16_t *plane,
                    uint32_t plane_bytes);

/* Four int8 to int16 at to[0] and to[1], in the order 0, 2, 1, 3. */
static inline void vad_dsp_widen_word(uint32_t word, uint32_t *to) {
    __asm__("sxtb16 %0, %1" : "=r"(to[0]) : "r"(word));
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(to[1]) : "r"(word));
}

static inline void vad_dsp_widen_quad(const int8_t *in, uint32_t *to) {
    uint32_t word;
    __builtin_memcpy(&word, in, sizeof word);
    vad_dsp_widen_word(word, to);
}

/* A few zeros; not worth a call of memset, which GCC would make of a plain loop. */
static inline void vad_dsp_clear(int16_t *to, int32_t count) {
    const uint32_t zeros = 0;
    for (; count >= 2; count -= 2, to += 2) {
        __builtin_memcpy(to, &zeros, sizeof zeros);
        __asm__("" ::: "memory");
    }
    if (count > 0) {
        *to = 0;
    }
}

/* Two int16 at any even address. */
static inline void vad_dsp_store(int16_t *to, uint32_t pair) {
    __builtin_memcpy(to, &pair, sizeof pair);
}

#endif
