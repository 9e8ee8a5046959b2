/* MEAN on cores with Helium, for at most 256 columns; numpy twin: ref/mean.py. Up to 7 bytes behind
 * an input row are read; what lies there does not matter. */
#ifndef VAD_MEAN_MVE_H
#define VAD_MEAN_MVE_H

#include "vad_mean.h"

void vad_mean_mve(const vad_mean_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
