/* CONV_2D with a 1x1 kernel and stride 1 on DSP cores; numpy twin: ref/conv2d.py.
 *
 * Taken: input channels a multiple of 4, output channels of 2, clamping only by saturation, all
 * shifts as in vad_dsp_channel_t. */
#ifndef VAD_POINTWISE_DSP_H
#define VAD_POINTWISE_DSP_H

#include "vad_kernel.h"

typedef struct {
    const int8_t *weights;   /* [out_channels][in_channels], 4-byte aligned */
    const int32_t *channels; /* [out_channels] vad_dsp_channel_t */
    uint16_t width;
    uint16_t in_channels;
    uint16_t out_channels;
    int16_t odd; /* 2 * output zero point + 1 */
} vad_pointwise_dsp_t;

/* scratch: 4 * in_channels bytes. */
void vad_pointwise_dsp(const vad_pointwise_dsp_t *op, const int8_t *const *rows, int8_t *out,
                       void *scratch);

#endif
