/* MUL; numpy twin: ref/mul.py. */
#ifndef VAD_MUL_H
#define VAD_MUL_H

#include "vad_kernel.h"

typedef struct {
    int32_t multiplier; /* Q0.31 */
    uint32_t bytes;     /* of a row */
    uint32_t period;    /* bytes of the second input, read again and again; divides bytes */
    int8_t shift;       /* in [-31, 14] */
    int8_t zero_point_a;
    int8_t zero_point_b;
    int8_t zero_point_out;
    int8_t low;
    int8_t high;
} vad_mul_t;

void vad_mul(const vad_mul_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
