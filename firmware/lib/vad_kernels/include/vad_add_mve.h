/* ADD on cores with Helium; numpy twin: ref/add.py.
 *
 * The input with the greater scale is scaled by exactly 1/2. The other one is scaled by
 * multiplier_a and shift_a, except where both have the same scale. Limits are those of int8. Up to
 * 7 bytes behind an input row are read; what lies there does not matter. */
#ifndef VAD_ADD_MVE_H
#define VAD_ADD_MVE_H

#include "vad_kernel.h"

typedef struct {
    int32_t multiplier_a; /* Q0.31 */
    int32_t multiplier;   /* of the sum */
    uint32_t bytes;       /* of a row */
    uint8_t a;            /* which input it is, 0 or 1 */
    uint8_t same;         /* both have the same scale */
    int8_t shift_a;       /* in [-31, -1] */
    int8_t shift;         /* in [-31, -1] */
    int8_t zero_point_a;
    int8_t zero_point_b;
    int8_t zero_point;
} vad_add_mve_t;

void vad_add_mve(const vad_add_mve_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
