/* MEAN over height and width; numpy twin: ref/mean.py. */
#ifndef VAD_MEAN_H
#define VAD_MEAN_H

#include "vad_kernel.h"

typedef struct {
    int32_t multiplier; /* Q0.31, holds 1 / (height * width); may be below 2^30 */
    uint16_t height;
    uint16_t width;
    uint16_t channels;
    int8_t shift; /* in [-31, 30] */
    int8_t in_zero_point;
    int8_t out_zero_point;
} vad_mean_t;

void vad_mean(const vad_mean_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
