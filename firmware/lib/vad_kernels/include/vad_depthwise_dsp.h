/* DEPTHWISE_CONV_2D with depth multiplier 1 on DSP cores; numpy twin: ref/depthwise_conv2d.py.
 *
 * Taken: channels a multiple of 4, clamping only by saturation, shifts as in vad_dsp_channel_t. */
#ifndef VAD_DEPTHWISE_DSP_H
#define VAD_DEPTHWISE_DSP_H

#include "vad_kernel.h"

typedef struct {
    /* Taps in pairs (row by row, the last one with a zero): [channels / 4][pairs][4] pairs of
     * int16, for channels 0, 2, 1, 3 of the four. */
    const int16_t *weights;
    const int32_t *channels; /* [channels] vad_dsp_channel_t */
    uint16_t in_width;
    uint16_t n_channels;
    uint16_t out_width;
    uint8_t kernel_h;
    uint8_t kernel_w;
    uint8_t stride_w;
    uint8_t pad_left;
    int8_t in_zero_point;
    int16_t odd; /* 2 * output zero point + 1 */
} vad_depthwise_dsp_t;

/* scratch: 4 * (kernel_h * kernel_w + 1) bytes of pointers, then kernel_h * kernel_w * n_channels.
 */
void vad_depthwise_dsp(const vad_depthwise_dsp_t *op, const int8_t *const *rows, int8_t *out,
                       void *scratch);

#endif
