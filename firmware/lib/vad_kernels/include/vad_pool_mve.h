/* AVERAGE_POOL_2D and MAX_POOL_2D on cores with Helium; numpy twin: ref/pool.py.
 *
 * Averages are of at most 256 pixels. Up to 31 bytes behind an input row are read; what lies there
 * does not matter. */
#ifndef VAD_POOL_MVE_H
#define VAD_POOL_MVE_H

#include "vad_pool.h"

void vad_average_pool_mve(const vad_pool_t *op, const int8_t *const *rows, int8_t *out,
                          void *scratch);

void vad_max_pool_mve(const vad_pool_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
