/* CONV_2D in groups; numpy twin: ref/group_conv2d.py. */
#ifndef VAD_GROUP_CONV2D_H
#define VAD_GROUP_CONV2D_H

#include "vad_kernel.h"

typedef struct {
    const int8_t *weights;     /* [out_channels][kernel_h][kernel_w][in_channels / groups] */
    const int32_t *bias;       /* [out_channels]; holds -zero point * sum of weights */
    const int32_t *multiplier; /* [out_channels], Q0.31 */
    const int8_t *shift;       /* [out_channels], in [-31, 30] */
    uint16_t in_width;
    uint16_t in_channels;
    uint16_t out_width;
    uint16_t out_channels;
    uint16_t groups; /* divides both numbers of channels */
    uint16_t kernel_h;
    uint16_t kernel_w;
    uint8_t stride_w;
    uint8_t pad_left;
    int8_t in_zero_point;
    int8_t out_zero_point;
    int8_t low;
    int8_t high;
} vad_group_conv2d_t;

void vad_group_conv2d(const vad_group_conv2d_t *op, const int8_t *const *rows, int8_t *out,
                      void *scratch);

#endif
