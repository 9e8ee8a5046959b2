/* What every kind of memory bank offers the search for the nearest row. */
#ifndef VAD_PATCH_SEARCH_H
#define VAD_PATCH_SEARCH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Most resolutions a detector may have. */
#define VAD_PATCH_MAX_LEVELS 4

/* Rows that may still be the nearest, ascending, with the squared distance summed so far. */
typedef struct {
    uint32_t n;
    uint16_t *row;     /* [n_codes] */
    uint32_t *partial; /* [n_codes] */
} vad_patch_rows_t;

/* A feature vector is cut into levels, coarsest first: the channels of one resolution. Distances
 * are sums of squared differences of int8 values, at most 65536 * 254^2 < 2^32 - 1, so uint32 sums
 * are exact and may be taken in any order. */
typedef struct {
    /* Adds level `level` to the rows of `in` (NULL: all rows, from zero), keeps those whose sum is
     * below `bound` in `out`. With `tighten` each row kept lowers the bound to its sum and replaces
     * the row kept before: what is left is the nearest row, the lowest index on ties.
     * query: int8 [dims], read up to the level's end. tables: uint32 [table_words] scratch, left
     * as it is from a cell's scan to those of the finer cells that it covers. */
    void (*scan)(const void *bank, uint32_t level, const int8_t *query, const vad_patch_rows_t *in,
                 uint32_t bound, int tighten, uint32_t *tables, vad_patch_rows_t *out);
    /* Squared distance of one row from the query over levels `level`, `level + 1`, ... */
    uint32_t (*distance)(const void *bank, uint32_t level, const int8_t *query, uint32_t row);
    /* Writes one row, int8 [dims]. */
    void (*decode)(const void *bank, uint32_t row, int8_t *out);
} vad_patch_search_t;

#ifdef __cplusplus
}
#endif

#endif
