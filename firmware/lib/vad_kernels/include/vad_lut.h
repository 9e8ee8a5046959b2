/* RELU, RELU6 and QUANTIZE by table; numpy twin: ref/lut.py. */
#ifndef VAD_LUT_H
#define VAD_LUT_H

#include "vad_kernel.h"

typedef struct {
    const int8_t *table; /* [256], indexed by value + 128 */
    uint32_t bytes;      /* of a row */
} vad_lut_t;

void vad_lut(const vad_lut_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
