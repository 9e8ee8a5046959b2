/* DEPTHWISE_CONV_2D on cores with Helium; numpy twin: ref/depthwise_conv2d.py.
 *
 * Loops for windows of 3x3, 5x5 and 7x7, strides 1 and 2; smaller windows lie in them, with zero
 * weights right and below. The constants hold for each output channel: weights column by column,
 * 4 bytes each, of rows 0 to 3 (3x3: 16 bytes; 5x5: 4 columns, the fifth one and row 4, 3 times 16
 * bytes; 7x7: 32 bytes, then 32 of rows 4 to 6); then in words bias, multiplier, left shift (below
 * 0). Up to 15 bytes behind an input row are read; what lies there does not matter. */
#ifndef VAD_DEPTHWISE_MVE_H
#define VAD_DEPTHWISE_MVE_H

#include "vad_kernel.h"

typedef struct vad_mve_depthwise vad_mve_depthwise_t;
typedef void vad_mve_depthwise_fn(vad_mve_depthwise_t *depthwise);

/* Variants of the inner loop: size, stride and requantization (vad_mve.h). */
vad_mve_depthwise_fn vad_mve_depthwise_3_1_relu, vad_mve_depthwise_3_2_relu,
    vad_mve_depthwise_5_1_relu, vad_mve_depthwise_5_2_relu, vad_mve_depthwise_7_1_relu,
    vad_mve_depthwise_7_2_relu, vad_mve_depthwise_3_1_signed, vad_mve_depthwise_3_2_signed,
    vad_mve_depthwise_5_1_signed, vad_mve_depthwise_5_2_signed, vad_mve_depthwise_7_1_signed,
    vad_mve_depthwise_7_2_signed;

typedef struct {
    const int32_t *constants;
    vad_mve_depthwise_fn *row;
    uint16_t in_width;
    uint16_t in_channels;
    uint16_t out_width;
    uint16_t depth_multiplier;
    uint16_t columns; /* of scratch, a multiple of 16 */
    uint8_t size;     /* 3, 5 or 7 */
    uint8_t kernel_h;
    uint8_t pad_left;
    int8_t in_zero_point;
    int8_t out_zero_point;
} vad_depthwise_mve_t;

/* scratch of both, first: 4 * columns bytes, `columns` bytes for size 5, 4 * columns for size 7, a
 * row of padding: in_width bytes rounded up to sixteens. */

/* Input rows are planes of in_width bytes, a channel's each; depth multiplier 1. */
void vad_depthwise_mve_planes(const vad_depthwise_mve_t *op, const int8_t *const *rows, int8_t *out,
                              void *scratch);

/* Input rows are pixels. scratch: kernel_h such rows more. */
void vad_depthwise_mve_rows(const vad_depthwise_mve_t *op, const int8_t *const *rows, int8_t *out,
                            void *scratch);

#endif
