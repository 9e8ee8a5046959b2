/* ADD through CMSIS-NN; numpy twin: ref/add.py. */
#ifndef VAD_CMSIS_NN_ADD_H
#define VAD_CMSIS_NN_ADD_H

#include "vad_add.h"

/* Its parameters are those of vad_add; no shift is to the left. */
void vad_cmsis_nn_add(const vad_add_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
