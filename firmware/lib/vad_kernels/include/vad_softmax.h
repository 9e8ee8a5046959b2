/* SOFTMAX over channels; numpy twin: ref/softmax.py. */
#ifndef VAD_SOFTMAX_H
#define VAD_SOFTMAX_H

#include "vad_kernel.h"

typedef struct {
    const int32_t *exp_table; /* [256], exp of -i input steps in Q0.31, 0 where negligible */
    uint16_t width;
    uint16_t channels; /* at most 4095, so that the sum fits 12 integer bits */
} vad_softmax_t;

void vad_softmax(const vad_softmax_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
