/* DEPTHWISE_CONV_2D through CMSIS-NN; numpy twin: ref/depthwise_conv2d.py. */
#ifndef VAD_CMSIS_NN_DEPTHWISE_CONV2D_H
#define VAD_CMSIS_NN_DEPTHWISE_CONV2D_H

#include "vad_kernel.h"

typedef struct {
    const int8_t *weights; /* [kernel_h][kernel_w][channels] */
    const int32_t *bias;
    const int32_t *multiplier; /* Q0.31 */
    const int32_t *shift;      /* in [-30, 30] */
    uint32_t buffer_bytes;     /* of scratch, for the library */
    uint32_t row_bytes;        /* of an input row */
    uint16_t in_width;
    uint16_t channels;
    uint16_t out_width;
    uint16_t kernel_h;
    uint16_t kernel_w;
    uint8_t stride_w;
    uint8_t pad_left;
    int8_t in_zero_point;
    int8_t out_zero_point;
    int8_t low;
    int8_t high;
} vad_cmsis_nn_depthwise_conv2d_t;

void vad_cmsis_nn_depthwise_conv2d(const vad_cmsis_nn_depthwise_conv2d_t *op,
                                   const int8_t *const *rows, int8_t *out, void *scratch);

#endif
