/* CONCATENATION of channels; numpy twin: ref/concat.py. */
#ifndef VAD_CONCAT_H
#define VAD_CONCAT_H

#include "vad_kernel.h"

typedef struct {
    const uint16_t *channels; /* [n_inputs] */
    uint16_t n_inputs;
    uint16_t width;
} vad_concat_t;

void vad_concat(const vad_concat_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
