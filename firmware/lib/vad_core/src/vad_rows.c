#include "vad_rows.h"

#include <string.h>

void vad_rows(const vad_ring_t *ring, uint8_t *arena, int32_t first, int32_t count,
              const int8_t **rows) {
    for (int32_t i = 0; i < count; i++) {
        const int32_t y = first + i;
        const int inside = y >= 0 && y < ring->rows;
        rows[i] = inside ? (const int8_t *)vad_row(ring, arena, y) : NULL;
    }
}

void vad_join_rows(const int8_t *const *rows, int32_t count, size_t left, size_t bytes,
                   size_t pitch, int8_t fill, int8_t *to) {
    for (int32_t i = 0; i < count; i++) {
        int8_t *row = to + (size_t)i * pitch;
        if (rows[i] == NULL) {
            memset(row, fill, pitch);
            continue;
        }
        memset(row, fill, left);
        memcpy(row + left, rows[i], bytes);
        memset(row + left + bytes, fill, pitch - left - bytes);
    }
}

int vad_rows_adjoin(const int8_t *const *rows, int32_t count, size_t bytes) {
    for (int32_t i = 0; i < count; i++) {
        if (rows[i] == NULL || rows[i] != rows[0] + (size_t)i * bytes) {
            return 0;
        }
    }
    return 1;
}
