/* DEPTHWISE_CONV_2D; numpy twin: ref/depthwise_conv2d.py. */
#ifndef VAD_DEPTHWISE_CONV2D_H
#define VAD_DEPTHWISE_CONV2D_H

#include "vad_kernel.h"

typedef struct {
    /* For each of the in_channels * depth_multiplier output channels: */
    const int8_t *weights;     /* [kernel_h][kernel_w] */
    const int32_t *bias;       /* holds -zero point * sum of weights */
    const int32_t *multiplier; /* Q0.31 */
    const int8_t *shift;       /* in [-31, 30] */
    uint16_t in_width;
    uint16_t in_channels;
    uint16_t out_width;
    uint16_t depth_multiplier;
    uint8_t kernel_h;
    uint8_t kernel_w;
    uint8_t stride_w;
    uint8_t pad_left;
    int8_t in_zero_point;
    int8_t out_zero_point;
    int8_t low;
    int8_t high;
    uint8_t upper; /* vad_requantize_upper takes every sum, low and high are the int8 limits */
} vad_depthwise_conv2d_t;

void vad_depthwise_conv2d(const vad_depthwise_conv2d_t *op, const int8_t *const *rows, int8_t *out,
                          void *scratch);

#endif
