/* ADD on cores with the DSP extension; numpy twin: ref/add.py.
 *
 * The input with the greater scale is scaled by exactly 1/2. The other one is scaled by
 * multiplier_a, then shifted right by right_a, except where both have the same scale. */
#ifndef VAD_ADD_DSP_H
#define VAD_ADD_DSP_H

#include "vad_kernel.h"

typedef struct {
    int32_t multiplier_a; /* Q0.31 */
    int32_t constant_a;   /* 2^(right_a - 1) - (zero point of b << (19 + right_a)) */
    int32_t multiplier;   /* of the sum */
    int32_t constant;     /* 2^(right - 1) + (zero point of the output << right) */
    uint32_t bytes;       /* of a row */
    uint8_t a;            /* which input it is, 0 or 1 */
    uint8_t same;         /* both have the same scale: right_a is 1 */
    uint8_t right_a;      /* in [1, 4] */
    uint8_t right;        /* in [1, 22] */
    int8_t zero_point_a;
} vad_add_dsp_t;

void vad_add_dsp(const vad_add_dsp_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
