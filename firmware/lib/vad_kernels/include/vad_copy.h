/* RESHAPE: rows one after another; numpy twin: ref/copy.py. */
#ifndef VAD_COPY_H
#define VAD_COPY_H

#include "vad_kernel.h"

typedef struct {
    uint32_t row_bytes; /* of an input row */
    uint16_t n_rows;    /* input rows that make an output row */
} vad_copy_t;

void vad_copy(const vad_copy_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
