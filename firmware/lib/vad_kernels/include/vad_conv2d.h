/* CONV_2D and FULLY_CONNECTED; numpy twin: ref/conv2d.py. */
#ifndef VAD_CONV2D_H
#define VAD_CONV2D_H

#include "vad_kernel.h"

typedef struct {
    const int8_t *weights;     /* [out_channels][kernel_h][kernel_w][in_channels] */
    const int32_t *bias;       /* [out_channels]; holds -zero point * sum of weights */
    const int32_t *multiplier; /* [out_channels], Q0.31 */
    const int8_t *shift;       /* [out_channels], in [-31, 30] */
    uint16_t in_width;
    uint16_t in_channels;
    uint16_t out_width;
    uint16_t out_channels;
    uint16_t kernel_h;
    uint16_t kernel_w;
    uint8_t stride_w;
    uint8_t pad_left;
    int8_t in_zero_point;
    int8_t out_zero_point;
    int8_t low;
    int8_t high;
    uint8_t upper; /* vad_requantize_upper takes every sum, low and high are the int8 limits */
} vad_conv2d_t;

void vad_conv2d(const vad_conv2d_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
