/* DEPTHWISE_CONV_2D on cores with the DSP extension; numpy twin: ref/depthwise_conv2d.py.
 *
 * Windows of 3x3, 5x5 and 7x7, strides 1 and 2, depth multiplier 1. The constants hold for each
 * channel, in words: each row's weights as int16 pairs (w0, w1), (w1, w2) and so on; bias;
 * multiplier; constant; with the signed requantization also the shift (see vad_dsp.h). Where flash
 * is short the weights lie apart as bytes and are widened for every row. */
#ifndef VAD_DEPTHWISE_DSP_H
#define VAD_DEPTHWISE_DSP_H

#include <stddef.h>

#include "vad_kernel.h"

typedef void vad_dsp_depthwise_fn(const void *depthwise);

/* Variants of the inner loop: size, stride and requantization. */
vad_dsp_depthwise_fn vad_dsp_depthwise_3_1_short, vad_dsp_depthwise_3_2_short,
    vad_dsp_depthwise_5_1_short, vad_dsp_depthwise_5_2_short, vad_dsp_depthwise_7_1_short,
    vad_dsp_depthwise_7_2_short, vad_dsp_depthwise_3_1_signed, vad_dsp_depthwise_3_2_signed,
    vad_dsp_depthwise_5_1_signed, vad_dsp_depthwise_5_2_signed, vad_dsp_depthwise_7_1_signed,
    vad_dsp_depthwise_7_2_signed;

typedef struct {
    const int32_t *constants;
    const int8_t *weights; /* for each channel: its weights, then how far they are shifted left;
                              NULL where the constants hold them */
    vad_dsp_depthwise_fn *row;
    uint16_t in_width;
    uint16_t channels;
    uint16_t out_width;
    uint16_t plane;   /* pixels of a plane with its margins, even */
    uint16_t channel; /* words of a channel's constants, weights included */
    uint8_t size;     /* 3, 5 or 7 */
    uint8_t stride;
    uint8_t pad_left; /* pixels of a plane before its first */
    int8_t in_zero_point;
} vad_depthwise_dsp_t;

/* Input rows are int16 planes, a channel after the other, centred, zeros in their margins.
 * scratch: 2 * plane bytes. */
void vad_depthwise_dsp_planes(const vad_depthwise_dsp_t *op, const int8_t *const *rows, int8_t *out,
                              void *scratch);

/* Input rows are int8 pixels, at least 4 channels. scratch: 8 * size * plane bytes. */
void vad_depthwise_dsp_rows(const vad_depthwise_dsp_t *op, const int8_t *const *rows, int8_t *out,
                            void *scratch);

#endif
