/* ADD; numpy twin: ref/add.py. */
#ifndef VAD_ADD_H
#define VAD_ADD_H

#include "vad_kernel.h"

typedef struct {
    int32_t multiplier_a; /* Q0.31 */
    int32_t multiplier_b;
    int32_t multiplier_out;
    uint32_t bytes; /* of a row */
    int8_t shift_a; /* in [-31, 0] */
    int8_t shift_b;
    int8_t shift_out;
    int8_t zero_point_a;
    int8_t zero_point_b;
    int8_t zero_point_out;
    int8_t low;
    int8_t high;
} vad_add_t;

void vad_add(const vad_add_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
