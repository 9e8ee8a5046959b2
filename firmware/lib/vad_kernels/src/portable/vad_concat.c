#include <string.h>

#include "vad_concat.h"

void vad_concat(const vad_concat_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    for (int32_t x = 0; x < op->width; x++) {
        for (int32_t i = 0; i < op->n_inputs; i++) {
            memcpy(out, rows[i] + x * op->channels[i], op->channels[i]);
            out += op->channels[i];
        }
    }
}
