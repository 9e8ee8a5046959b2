#ifndef VAD_WEIGHTS_H
#define VAD_WEIGHTS_H

#include <stdint.h>

static const int8_t vad_weights_00[8] = {1, 2, 3, 4, 5, 6, 7, 8};

#endif
