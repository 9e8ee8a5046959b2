#include "vad_rows.h"

void vad_rows(const vad_ring_t *ring, uint8_t *arena, int32_t first, int32_t count,
              const int8_t **rows) {
    for (int32_t i = 0; i < count; i++) {
        const int32_t y = first + i;
        const int inside = y >= 0 && y < ring->rows;
        rows[i] = inside ? (const int8_t *)vad_row(ring, arena, y) : NULL;
    }
}
