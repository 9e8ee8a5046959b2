/* Tensors as rings of rows. */
#ifndef VAD_ROWS_H
#define VAD_ROWS_H

#include <stddef.h>
#include <stdint.h>

/* Where a tensor's rows lie in the arena: row y at offset + (y % ring) * pitch. */
typedef struct {
    uint32_t offset; /* bytes from the arena's start */
    uint32_t pitch;  /* bytes from one row to the next */
    uint16_t ring;   /* rows kept at a time */
    uint16_t rows;   /* rows in all */
} vad_ring_t;

/* Address of row y, which must lie in the tensor. */
static inline uint8_t *vad_row(const vad_ring_t *ring, uint8_t *arena, int32_t y) {
    return arena + ring->offset + (uint32_t)y % ring->ring * ring->pitch;
}

/* Addresses of rows first .. first + count - 1; NULL for rows outside the tensor. */
void vad_rows(const vad_ring_t *ring, uint8_t *arena, int32_t first, int32_t count,
              const int8_t **rows);

/* Copies rows into an image: `to` gets `count` rows of `pitch` bytes, each `left` bytes of `fill`,
 * the first `bytes` of the row, and `fill` up to its end. A row that is NULL is `fill` throughout.
 */
void vad_join_rows(const int8_t *const *rows, int32_t count, size_t left, size_t bytes,
                   size_t pitch, int8_t fill, int8_t *to);

/* Whether rows of so many bytes lie one after another: whether they are an image as they are. */
int vad_rows_adjoin(const int8_t *const *rows, int32_t count, size_t bytes);

#endif
