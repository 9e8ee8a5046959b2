/* What the kernels for cores with Helium (MVE) share.
 *
 * Inputs keep their zero point; the bias holds -zero point * sum of weights. Two requantizations
 * give the bits of vad_output for limits of int8 and right shifts r >= 1:
 *
 * signed:
 *     t = (2 * sum * multiplier + 2^31) >> 32     VQRDMULH, vad_rounding_doubling_high_mul
 *     t += t >> 31                                ties go away from zero
 *     t = (t + 2^(r-1)) >> r                      VRSHL
 *     saturate(saturate16(t) + zero point)        VQMOVN, VQADD, VQMOVN
 *
 * relu: the same without the second line, for outputs whose zero point is -128, their lowest value,
 *     as after RELU and RELU6. A negative sum saturates, so its ties do not matter. */
#ifndef VAD_MVE_H
#define VAD_MVE_H

#include <stddef.h>
#include <stdint.h>

#include "vad_conv2d_mve.h"
#include "vad_depthwise_mve.h"

/* Argument of vad_mve_dots_*; the order is known to vad_mve_dots.S and vad_mve_planes.S.
 *
 * The stream holds for each four output channels (the last filled with zeros), in words: 4 biases,
 * 4 multipliers, 4 left shifts (below 0); then for each chunk 16 weights of each channel.
 * For vad_mve_dots_8 to _32: for each two channels the chunks of the first, of the second, then
 * bias, multiplier, left shift of the first and of the second. */
struct vad_mve_dots {
    const int8_t *pixels;
    uint32_t pixel_bytes; /* to the next input pixel */
    uint32_t count;       /* of pixels, at least 1 */
    int8_t *out;          /* pixel 0 of channel 0 */
    uint32_t pixel_step;  /* bytes to the next output pixel */
    uint32_t plane;       /* bytes to the next output channel */
    const int32_t *stream;
    uint32_t channels; /* at least 1 */
    uint32_t chunks;
    int32_t zero_point; /* of the output */
};

/* Argument of vad_mve_depthwise_*; the order is known to vad_mve_depthwise.S.
 *
 * A channel's rows become columns: 4 bytes for each x, from rows 0 to 3. 3x3: the fourth has zero
 * weights. 5x5: the fifth row is copied to `line`. 7x7: rows 4 to 6 become columns at `line`, whose
 * fourth byte has zero weights. What changes from channel to channel (rows,
 * constants, out, channels) ends at the channel behind the last one. */
struct vad_mve_depthwise {
    const int8_t *rows[8]; /* the first channel's planes, 3, 5 or 7 of them */
    int32_t next[8];       /* bytes to the next channel's */
    int8_t *columns;       /* where the first pixel's column goes */
    int8_t *line;
    uint32_t sixteens;     /* of pixels in a row, the last filled */
    uint32_t width;        /* pixels of a row */
    uint32_t zero_points;  /* four of the input's */
    const int8_t *windows; /* column of the first window */
    const int8_t *line_windows;
    int8_t *out;              /* pixel 0 of the first channel */
    uint32_t pixel;           /* bytes from an output pixel to the next */
    uint32_t eights;          /* output pixels in whole eights */
    uint32_t rest;            /* pixels behind them */
    const int32_t *constants; /* for each channel: weights (16 bytes; 5x5: 48; 7x7: 64), bias,
                                 multiplier, left shift */
    uint32_t channels;        /* at least 1 */
    int32_t zero_point;       /* of the output */
};

#endif
