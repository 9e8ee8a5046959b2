/* Runs every model of models.h on N_IMAGES images: the request is their rows, the response the
 * whole outputs, one after another. */
#include <string.h>

#include "models.h"
#include "vad_port.h"

static _Alignas(16) uint8_t arena[ARENA_BYTES];
static int8_t outputs[OUTPUT_BYTES];
static uint8_t row[ROW_BYTES];

static void keep_row(void *user, int32_t output, int32_t y, const int8_t *data, size_t bytes) {
    const uint32_t *offsets = user;
    memcpy(outputs + offsets[output] + (size_t)y * bytes, data, bytes);
}

#define DEFINE_RUN(prefix, macro)                                                                  \
    static bool run_##prefix(void) {                                                               \
        static uint32_t offsets[] = macro##_OUTPUT_OFFSETS;                                        \
        static prefix##_t model;                                                                   \
        const vad_observer_t observer = {keep_row, offsets};                                       \
        prefix##_begin(&model, arena, NULL, &observer);                                            \
        for (int32_t y = 0; y < macro##_INPUT_HEIGHT; y++) {                                       \
            const size_t bytes = macro##_INPUT_WIDTH * macro##_INPUT_CHANNELS;                     \
            if (vad_port_read(row, bytes) != bytes || prefix##_feed_row(&model, row) != VAD_OK) {  \
                return false;                                                                      \
            }                                                                                      \
        }                                                                                          \
        return vad_port_write(outputs, macro##_OUTPUT_BYTES);                                      \
    }
MODELS(DEFINE_RUN)

#define CALL_RUN(prefix, macro)                                                                    \
    for (int32_t i = 0; ok && i < N_IMAGES; i++) {                                                 \
        ok = run_##prefix();                                                                       \
    }

int main(void) {
    bool ok = vad_port_open();
    MODELS(CALL_RUN)
    vad_port_close();
    return ok ? 0 : 1;
}
