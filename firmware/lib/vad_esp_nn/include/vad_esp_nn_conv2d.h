/* CONV_2D and FULLY_CONNECTED through ESP-NN; numpy twin: ref/conv2d.py. */
#ifndef VAD_ESP_NN_CONV2D_H
#define VAD_ESP_NN_CONV2D_H

#include "vad_kernel.h"

typedef struct {
    const int8_t *weights; /* [out_channels][kernel_h][kernel_w][in_channels] */
    const int32_t *bias;
    const int32_t *multiplier; /* Q0.31 */
    const int32_t *shift;      /* in [-30, 30] */
    uint32_t buffer_bytes;     /* of scratch, for the library */
    uint32_t left_bytes;       /* of an image row: padding, */
    uint32_t row_bytes;        /* what an input row gives, */
    uint32_t pitch;            /* and all */
    uint16_t n_rows;           /* input rows of a window */
    uint16_t in_height;        /* the image: the rows, or one pixel of all their bytes */
    uint16_t in_width;
    uint16_t in_channels;
    uint16_t out_width;
    uint16_t out_channels;
    uint16_t kernel_h;
    uint16_t kernel_w;
    uint8_t stride_w;
    int8_t in_zero_point;
    int8_t out_zero_point;
    int8_t low;
    int8_t high;
} vad_esp_nn_conv2d_t;

void vad_esp_nn_conv2d(const vad_esp_nn_conv2d_t *op, const int8_t *const *rows, int8_t *out,
                       void *scratch);

#endif
