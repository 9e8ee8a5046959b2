/* ADD for the computer that builds; numpy twin: ref/add.py. */
#ifndef VAD_HOST_ADD_H
#define VAD_HOST_ADD_H

#include "vad_add.h"

void vad_host_add(const vad_add_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
