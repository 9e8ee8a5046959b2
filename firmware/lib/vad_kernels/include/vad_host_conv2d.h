/* CONV_2D and FULLY_CONNECTED for the computer that builds; numpy twin: ref/conv2d.py. */
#ifndef VAD_HOST_CONV2D_H
#define VAD_HOST_CONV2D_H

#include "vad_kernel.h"

typedef struct {
    const int8_t *weights;     /* [panels][kernel_h][half_depth][8][2]: pairs of a kernel row */
    const int32_t *bias;       /* [panels][8]; holds -zero point * sum of weights */
    const int32_t *multiplier; /* [panels][8], Q0.31 */
    const int8_t *shift;       /* [panels][8], in [-31, 30] */
    uint32_t pitch;            /* elements of a widened row in scratch */
    uint32_t half_depth;       /* ceil(kernel_w * in_channels / 2) */
    uint16_t in_width;
    uint16_t in_channels;
    uint16_t out_width;
    uint16_t out_channels; /* panels = ceil(out_channels / 8) */
    uint16_t kernel_h;
    uint8_t stride_w;
    uint8_t pad_left;
    int8_t in_zero_point;
    int8_t out_zero_point;
    int8_t low;
    int8_t high;
} vad_host_conv2d_t;

void vad_host_conv2d(const vad_host_conv2d_t *op, const int8_t *const *rows, int8_t *out,
                     void *scratch);

#endif
