/* CONV_2D with a 1x1 kernel and stride 1; numpy twin: ref/conv2d.py. */
#ifndef VAD_POINTWISE_H
#define VAD_POINTWISE_H

#include "vad_kernel.h"

typedef struct {
    const int8_t *weights;     /* [out_channels][in_channels] */
    const int32_t *bias;       /* [out_channels]; holds -zero point * sum of weights */
    const int32_t *multiplier; /* [out_channels], Q0.31 */
    const int8_t *shift;       /* [out_channels], in [-31, 30] */
    uint16_t width;
    uint16_t in_channels;
    uint16_t out_channels;
    int8_t out_zero_point;
    int8_t low;
    int8_t high;
    uint8_t upper; /* vad_requantize_upper takes every sum, low and high are the int8 limits */
} vad_pointwise_t;

void vad_pointwise(const vad_pointwise_t *op, const int8_t *const *rows, int8_t *out,
                   void *scratch);

#endif
