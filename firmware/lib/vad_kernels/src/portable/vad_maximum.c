#include "vad_maximum.h"

void vad_maximum(const vad_maximum_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    const int8_t *a = rows[0];
    const int8_t *b = rows[1];
    for (uint32_t i = 0; i < op->bytes; i++) {
        out[i] = a[i] > b[i] ? a[i] : b[i];
    }
}
