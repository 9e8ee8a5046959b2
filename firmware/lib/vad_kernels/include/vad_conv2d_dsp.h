/* CONV_2D on DSP cores, any kernel and stride; numpy twin: ref/conv2d.py.
 *
 * Taken: output channels a multiple of 2, clamping only by saturation, shifts as in
 * vad_dsp_channel_t. */
#ifndef VAD_CONV2D_DSP_H
#define VAD_CONV2D_DSP_H

#include "vad_kernel.h"

typedef struct {
    const int8_t *weights;   /* [out_channels][patch], a patch ending in zeros, 4-byte aligned */
    const int32_t *channels; /* [out_channels] vad_dsp_channel_t */
    uint16_t in_width;
    uint16_t in_channels;
    uint16_t out_width;
    uint16_t out_channels;
    uint16_t patch; /* kernel_h * kernel_w * in_channels rounded up to a multiple of 4 */
    uint8_t kernel_h;
    uint8_t kernel_w;
    uint8_t stride_w;
    uint8_t pad_left;
    int8_t in_zero_point;
    int16_t odd; /* 2 * output zero point + 1 */
} vad_conv2d_dsp_t;

/* scratch: 6 * patch bytes: two patches of int8, then the same as int16. */
void vad_conv2d_dsp(const vad_conv2d_dsp_t *op, const int8_t *const *rows, int8_t *out,
                    void *scratch);

#endif
