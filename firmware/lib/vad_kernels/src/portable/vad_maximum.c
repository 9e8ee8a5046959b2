#include "vad_maximum.h"

void vad_maximum(const vad_maximum_t *op, const int8_t *const *rows, int8_t *out, void *scratch) {
    (void)scratch;
    const int8_t *a = rows[0];
    const int8_t *b = rows[1];
    for (const int8_t *end = a + op->bytes; a != end; a++, b++) {
        *out++ = *a > *b ? *a : *b;
    }
}
