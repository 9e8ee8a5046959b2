/* DEPTHWISE_CONV_2D for the computer that builds; numpy twin: ref/depthwise_conv2d.py. */
#ifndef VAD_HOST_DEPTHWISE_CONV2D_H
#define VAD_HOST_DEPTHWISE_CONV2D_H

#include "vad_kernel.h"

/* Greatest ceil(kernel_h / 2) * kernel_w. */
#define VAD_HOST_DEPTHWISE_TAPS 32

typedef struct {
    const int16_t *weights;    /* [panels][ceil(kernel_h / 2)][kernel_w][8][2]: pairs of rows */
    const int32_t *bias;       /* [panels][8]; holds -zero point * sum of weights */
    const int32_t *multiplier; /* [panels][8], Q0.31 */
    const int8_t *shift;       /* [panels][8], in [-31, 30] */
    uint32_t columns;          /* (out_width - 1) * stride_w + kernel_w */
    uint16_t in_width;
    uint16_t channels; /* panels = ceil(channels / 8) */
    uint16_t out_width;
    uint8_t kernel_h;
    uint8_t kernel_w;
    uint8_t stride_w;
    uint8_t pad_left;
    int8_t in_zero_point;
    int8_t out_zero_point;
    int8_t low;
    int8_t high;
} vad_host_depthwise_conv2d_t;

void vad_host_depthwise_conv2d(const vad_host_depthwise_conv2d_t *op, const int8_t *const *rows,
                               int8_t *out, void *scratch);

#endif
