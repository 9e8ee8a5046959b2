/* MUL on cores with Helium, for shifts in [-31, -1]; numpy twin: ref/mul.py. Up to 7 bytes behind
 * an input row are read; what lies there does not matter. */
#ifndef VAD_MUL_MVE_H
#define VAD_MUL_MVE_H

#include "vad_mul.h"

void vad_mul_mve(const vad_mul_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
