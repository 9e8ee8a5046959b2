/* GATHER along channels; numpy twin: ref/gather.py. */
#ifndef VAD_GATHER_H
#define VAD_GATHER_H

#include "vad_kernel.h"

typedef struct {
    const uint16_t *channels; /* [out_channels], which input channel each is */
    uint16_t width;
    uint16_t in_channels;
    uint16_t out_channels;
} vad_gather_t;

void vad_gather(const vad_gather_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
