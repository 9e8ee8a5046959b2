/* MUL of tensors of one shape through ESP-NN; numpy twin: ref/mul.py. */
#ifndef VAD_ESP_NN_MUL_H
#define VAD_ESP_NN_MUL_H

#include "vad_mul.h"

/* Its parameters are those of vad_mul; the period is the row. */
void vad_esp_nn_mul(const vad_mul_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
