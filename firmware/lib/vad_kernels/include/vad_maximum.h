/* MAXIMUM; numpy twin: ref/maximum.py. */
#ifndef VAD_MAXIMUM_H
#define VAD_MAXIMUM_H

#include "vad_kernel.h"

typedef struct {
    uint32_t bytes; /* of a row */
} vad_maximum_t;

void vad_maximum(const vad_maximum_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
