/* AVERAGE_POOL_2D and MAX_POOL_2D through CMSIS-NN; numpy twin: ref/pool.py. */
#ifndef VAD_CMSIS_NN_POOL_H
#define VAD_CMSIS_NN_POOL_H

#include "vad_pool.h"

/* Parameters are those of vad_pool.h. The library sees the rows inside the image alone, for padding
 * counts nowhere. */
void vad_cmsis_nn_average_pool(const vad_pool_t *op, const int8_t *const *rows, int8_t *out,
                               void *scratch);

void vad_cmsis_nn_max_pool(const vad_pool_t *op, const int8_t *const *rows, int8_t *out,
                           void *scratch);

#endif
