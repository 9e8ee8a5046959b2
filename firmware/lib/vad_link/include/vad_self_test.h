/* Images that are computed, not stored, and a digest of what a model makes of them. Python twin:
 * link/patterns.py. */
#ifndef VAD_SELF_TEST_H
#define VAD_SELF_TEST_H

#include <stddef.h>
#include <stdint.h>

/* Writes row `y` of built-in image `index`: noise in squares of 1, 4, 16, ... pixels. */
void vad_self_test_row(uint32_t index, uint32_t y, uint32_t width, uint32_t channels, uint8_t *row);

/* What a row of an output adds to the digest; the order of rows does not matter. */
uint32_t vad_self_test_output(uint32_t output, uint32_t y, const int8_t *data, size_t bytes);

/* The digest: of the sum over all rows of outputs, the score and the cells. */
uint32_t vad_self_test_digest(uint32_t outputs, uint32_t score, const uint32_t *cells,
                              uint32_t n_cells);

#endif
