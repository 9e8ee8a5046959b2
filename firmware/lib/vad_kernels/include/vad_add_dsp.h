/* ADD on DSP cores; numpy twin: ref/add.py.
 *
 * Taken: clamping only by saturation, the output's shift as in vad_dsp_channel_t. */
#ifndef VAD_ADD_DSP_H
#define VAD_ADD_DSP_H

#include "vad_kernel.h"

typedef struct {
    int32_t multiplier_a; /* Q0.31 */
    int32_t multiplier_b;
    int32_t multiplier_out;
    uint32_t bytes;    /* of a row */
    int32_t shift_out; /* right shift minus 1 */
    uint8_t right_a;   /* right shifts, in [0, 31] */
    uint8_t right_b;
    int8_t zero_point_a;
    int8_t zero_point_b;
    int16_t odd; /* 2 * output zero point + 1 */
} vad_add_dsp_t;

void vad_add_dsp(const vad_add_dsp_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
