/* A model small enough to be worked out by hand, with the interface of generated code. */
#ifndef VAD_MODEL_H
#define VAD_MODEL_H

#include "vad_types.h"

#define VAD_MODEL_INPUT_HEIGHT 8
#define VAD_MODEL_INPUT_WIDTH 8
#define VAD_MODEL_INPUT_CHANNELS 3
#define VAD_MODEL_N_OUTPUTS 2
#define VAD_MODEL_OUTPUT_BYTES (4 * 8 + 2 * 4)
#ifndef VAD_MODEL_ARENA_BYTES
#define VAD_MODEL_ARENA_BYTES 4096
#endif
#define VAD_MODEL_DETECTOR_BYTES 64
#ifndef VAD_MODEL_ARENA_PLACE
#define VAD_MODEL_ARENA_PLACE
#define VAD_MODEL_DETECTOR_PLACE
#endif
#define VAD_MODEL_CELL_ROWS 2
#define VAD_MODEL_CELL_COLS 2
#define VAD_MODEL_THRESHOLD 2100u

typedef struct vad_model {
    int8_t *arena;
    const vad_observer_t *observer;
    int32_t y;
    uint32_t cells[VAD_MODEL_CELL_ROWS * VAD_MODEL_CELL_COLS];
} vad_model_t;

void vad_model_begin(vad_model_t *m, uint8_t *arena, uint8_t *memory,
                     const vad_observer_t *observer);
vad_status_t vad_model_feed_row(vad_model_t *m, const uint8_t *row);
vad_status_t vad_model_result(const vad_model_t *m, vad_result_t *result);

#endif
