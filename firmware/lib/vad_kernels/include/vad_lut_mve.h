/* Tables on cores with Helium; numpy twin: ref/lut.py. Up to 15 bytes behind an input row are read;
 * what lies there does not matter. */
#ifndef VAD_LUT_MVE_H
#define VAD_LUT_MVE_H

#include "vad_lut.h"

void vad_lut_mve(const vad_lut_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
