/* Nearest row of a product-quantized memory bank, in integers, exactly. */
#ifndef VAD_PQ_SEARCH_H
#define VAD_PQ_SEARCH_H

#include <stdint.h>

#include "vad_patch_search.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Words of scratch that `scan` needs for the tables of a level of `row_bytes` bytes a row. */
#define VAD_PQ_TABLE_WORDS(row_bytes) ((row_bytes)*256u)

/* Most bytes a row may have in one level. */
#define VAD_PQ_MAX_ROW_BYTES 256

/* One level's part of the bank. */
typedef struct {
    uint16_t first_subspace, end_subspace;
    uint16_t row_bytes;   /* 8 bits: subspaces; 4 bits: half of them, rounded up */
    uint16_t table_rows;  /* with fewer rows left, distances are computed without tables */
    const uint8_t *codes; /* [n_codes][row_bytes]; 4 bits: the even subspace in the low nibble */
} vad_pq_level_t;

/* A bank of `n_codes` rows; row n is the concatenation over m of codewords[m][code[n][m]]. */
typedef struct {
    uint16_t n_codes;
    uint16_t n_levels;
    uint16_t sub_dims;     /* Ds */
    uint16_t bits;         /* of a code: 4 or 8 */
    uint16_t n_centroids;  /* Ks: at most 16 at 4 bits, 256 at 8 */
    uint16_t small_tables; /* 4 bits: a table for each code, of 16, in place of one for each two */
    const int8_t *codewords; /* [subspaces][n_centroids][sub_dims] */
    vad_pq_level_t levels[VAD_PATCH_MAX_LEVELS];
} vad_pq_bank_t;

/* Asymmetric distance computation: a look-up table a query, a sum of look-ups a row. */
extern const vad_patch_search_t vad_pq_search;

#ifdef __cplusplus
}
#endif

#endif
