/* CONV_2D on cores with Helium; numpy twin: ref/conv2d.py.
 *
 * Input channels (of a window: kernel_h * kernel_w * in_channels of them) go in chunks of 16, the
 * last filled with zero weights. vad_mve.h says what the constants mean and how the stream holds
 * them. Up to 15 bytes behind an input row are read; what lies there does not matter. */
#ifndef VAD_CONV2D_MVE_H
#define VAD_CONV2D_MVE_H

#include "vad_kernel.h"

typedef struct vad_mve_dots vad_mve_dots_t;
typedef void vad_mve_dots_fn(const vad_mve_dots_t *dots);

/* Variants of the inner loops, by layout of the output and by requantization (vad_mve.h): any
 * number of chunks; planes of at least 4 pixels of 8, 16, 24 or 32 bytes, requantization "relu". */
vad_mve_dots_fn vad_mve_dots_rows_relu, vad_mve_dots_rows_signed, vad_mve_dots_planes_relu,
    vad_mve_dots_planes_signed, vad_mve_dots_8, vad_mve_dots_16, vad_mve_dots_24, vad_mve_dots_32;

typedef struct {
    const int32_t *stream;
    vad_mve_dots_fn *dots;
    uint16_t in_width;
    uint16_t in_channels;
    uint16_t out_width;
    uint16_t out_channels;
    uint16_t chunks;
    uint16_t pixels; /* output pixels at a time */
    uint8_t planes;  /* the output: 0 pixels, 1 planes of out_width bytes, a channel's each */
    uint8_t kernel_h;
    uint8_t kernel_w;
    uint8_t stride_w;
    uint8_t pad_left;
    int8_t in_zero_point;
    int8_t out_zero_point;
} vad_conv2d_mve_t;

/* 1x1, stride 1. */
void vad_pointwise_mve(const vad_conv2d_mve_t *op, const int8_t *const *rows, int8_t *out,
                       void *scratch);

/* Any kernel and stride. scratch: 16 * chunks bytes for each of `pixels` windows, and for a row of
 * padding kernel_w * in_channels bytes; 16 more behind each of the two. */
void vad_conv2d_mve(const vad_conv2d_mve_t *op, const int8_t *const *rows, int8_t *out,
                    void *scratch);

#endif
