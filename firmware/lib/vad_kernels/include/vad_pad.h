/* PAD with the zero point; numpy twin: ref/pad.py. */
#ifndef VAD_PAD_H
#define VAD_PAD_H

#include "vad_kernel.h"

typedef struct {
    uint16_t in_width;
    uint16_t in_channels;
    uint16_t out_width;
    uint16_t out_channels;
    uint16_t left;
    uint16_t channels_before;
    int8_t zero_point;
} vad_pad_t;

void vad_pad(const vad_pad_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
