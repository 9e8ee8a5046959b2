/* The generated model as a shared library: one call an image, any number of threads. */
#include "vad_model.h"

typedef struct {
    int8_t *outputs;
} sink_t;

static const uint32_t offsets[] = VAD_MODEL_OUTPUT_OFFSETS;

static void keep_row(void *user, int32_t output, int32_t y, const int8_t *data, size_t bytes) {
    int8_t *to = ((sink_t *)user)->outputs + offsets[output] + (size_t)y * bytes;
    for (size_t i = 0; i < bytes; i++) {
        to[i] = data[i];
    }
}

size_t vad_host_arena_bytes(void);
int32_t vad_host_run(uint8_t *arena, const uint8_t *image, int8_t *outputs, uint32_t *cells,
                     uint32_t *answer);

size_t vad_host_arena_bytes(void) {
    return VAD_MODEL_ARENA_BYTES + VAD_MODEL_DETECTOR_BYTES;
}

/* arena: vad_host_arena_bytes(), 16-byte aligned. outputs: VAD_MODEL_OUTPUT_BYTES or NULL. cells:
 * the detector's scores. answer: score, threshold, decision. Both are left alone without a detector.
 * Returns a vad_status_t. */
int32_t vad_host_run(uint8_t *arena, const uint8_t *image, int8_t *outputs, uint32_t *cells,
                     uint32_t *answer) {
    vad_model_t model;
    sink_t sink = {outputs};
    const vad_observer_t observer = {keep_row, &sink};
    uint8_t *memory = arena + VAD_MODEL_ARENA_BYTES;
    vad_model_begin(&model, arena, memory, outputs != NULL ? &observer : NULL);
    for (int32_t y = 0; y < VAD_MODEL_INPUT_HEIGHT; y++) {
        const vad_status_t status = vad_model_feed_row(&model, image);
        if (status != VAD_OK) {
            return status;
        }
        image += (size_t)VAD_MODEL_INPUT_WIDTH * VAD_MODEL_INPUT_CHANNELS;
    }
#if VAD_MODEL_CELL_ROWS > 0
    vad_result_t result;
    const vad_status_t status = vad_model_result(&model, &result);
    if (status != VAD_OK) {
        return status;
    }
    for (size_t i = 0; i < (size_t)VAD_MODEL_CELL_ROWS * VAD_MODEL_CELL_COLS; i++) {
        cells[i] = result.cells[i];
    }
    answer[0] = result.score;
    answer[1] = result.threshold;
    answer[2] = result.is_anomalous;
#else
    (void)cells;
    (void)answer;
#endif
    return VAD_OK;
}
