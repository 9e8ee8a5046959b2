/* AVERAGE_POOL_2D and MAX_POOL_2D; numpy twin: ref/pool.py. */
#ifndef VAD_POOL_H
#define VAD_POOL_H

#include "vad_kernel.h"

typedef struct {
    uint16_t in_width;
    uint16_t channels;
    uint16_t out_width;
    uint16_t kernel_h;
    uint16_t kernel_w;
    uint16_t stride_w;
    uint16_t pad_left;
    int8_t low;
    int8_t high;
} vad_pool_t;

/* Mean of the pixels inside the image, rounded, ties away from zero. */
void vad_average_pool(const vad_pool_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

/* Maximum of the pixels inside the image. */
void vad_max_pool(const vad_pool_t *op, const int8_t *const *rows, int8_t *out, void *scratch);

#endif
