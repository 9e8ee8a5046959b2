/* Nearest row of a memory bank kept as int8 vectors, exactly. */
#ifndef VAD_FLAT_SEARCH_H
#define VAD_FLAT_SEARCH_H

#include <stdint.h>

#include "vad_patch_search.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One level's part of the bank. */
typedef struct {
    uint16_t first_dim, end_dim;
    const int8_t *rows; /* [n_codes][end_dim - first_dim] */
} vad_flat_level_t;

typedef struct {
    uint16_t n_codes;
    uint16_t n_levels;
    vad_flat_level_t levels[VAD_PATCH_MAX_LEVELS];
} vad_flat_bank_t;

/* Exhaustive but for rows that reach the bound early; needs no tables. */
extern const vad_patch_search_t vad_flat_search;

#ifdef __cplusplus
}
#endif

#endif
