/* CONV_2D and FULLY_CONNECTED through CMSIS-NN; numpy twin: ref/conv2d.py. */
#ifndef VAD_CMSIS_NN_CONV2D_H
#define VAD_CMSIS_NN_CONV2D_H

#include "vad_kernel.h"

typedef struct {
    const int8_t *weights; /* [out_channels][kernel_h][kernel_w][in_channels] */
    const int32_t *bias;
    const int32_t *multiplier; /* Q0.31 */
    const int32_t *shift;      /* in [-30, 30] */
    uint32_t buffer_bytes;     /* of scratch, for the library */
    uint32_t row_bytes;        /* of an input row */
    uint16_t n_rows;           /* input rows of a window */
    uint16_t in_height;        /* the image: the rows, or one pixel of all their bytes */
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
} vad_cmsis_nn_conv2d_t;

void vad_cmsis_nn_conv2d(const vad_cmsis_nn_conv2d_t *op, const int8_t *const *rows, int8_t *out,
                         void *scratch);

#endif
