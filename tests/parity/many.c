/* Runs every model of models.h on N_IMAGES images: standard input to standard output. Each model
 * has buffers of its own, so that AddressSanitizer sees whoever leaves them. */
#include <stdio.h>
#include <string.h>

#include "models.h"

typedef struct {
    int8_t *outputs;
    const uint32_t *offsets;
} sink_t;

static void keep_row(void *user, int32_t output, int32_t y, const int8_t *data, size_t bytes) {
    const sink_t *sink = user;
    memcpy(sink->outputs + sink->offsets[output] + (size_t)y * bytes, data, bytes);
}

#define DEFINE_RUN(prefix, macro)                                                                  \
    static int run_##prefix(void) {                                                                \
        static _Alignas(16) uint8_t arena[macro##_ARENA_BYTES];                                    \
        static uint8_t row[macro##_INPUT_WIDTH * macro##_INPUT_CHANNELS];                          \
        static int8_t outputs[macro##_OUTPUT_BYTES];                                               \
        static const uint32_t offsets[] = macro##_OUTPUT_OFFSETS;                                  \
        prefix##_t model;                                                                          \
        sink_t sink = {outputs, offsets};                                                          \
        const vad_observer_t observer = {keep_row, &sink};                                         \
        prefix##_begin(&model, arena, NULL, &observer);                                            \
        for (int32_t y = 0; y < macro##_INPUT_HEIGHT; y++) {                                       \
            if (fread(row, 1, sizeof row, stdin) != sizeof row ||                                  \
                prefix##_feed_row(&model, row) != VAD_OK) {                                        \
                return 0;                                                                          \
            }                                                                                      \
        }                                                                                          \
        return fwrite(outputs, 1, sizeof outputs, stdout) == sizeof outputs;                       \
    }
MODELS(DEFINE_RUN)

#define CALL_RUN(prefix, macro)                                                                    \
    for (int i = 0; i < N_IMAGES; i++) {                                                           \
        if (!run_##prefix()) {                                                                     \
            (void)fprintf(stderr, "%s failed\n", #prefix);                                         \
            return 1;                                                                              \
        }                                                                                          \
    }

int main(void) {
    MODELS(CALL_RUN)
    return 0;
}
