/* The two-phase search of a product-quantized bank: candidates by the distance between codes, the
 * nearest of them by the distance to the query itself. May miss the nearest row, unless it keeps as
 * many candidates as there are rows.
 *
 * It is done the other way round: the row nearest of all is also nearest of the candidates when it
 * is one of them, and that takes no more than counting the rows that precede it by the distance
 * between codes. Only where it is none both phases run. */
#ifndef VAD_PQNN_SEARCH_H
#define VAD_PQNN_SEARCH_H

#include <stdint.h>

#include "vad_pq_search.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Words of scratch beside those of the tables: the candidates, what the first level adds to the
 * distance between codes, and the query's own decoded code. */
#define VAD_PQNN_WORDS(n_candidates, n_codes, dims)                                                \
    ((n_candidates)*2u + (n_codes) + ((dims) + 3u) / 4u)

typedef struct {
    const vad_pq_bank_t *pq; /* 8 bits: table_rows of every level is 0 */
    uint16_t n_candidates;   /* 1 to n_codes */
    uint16_t table_bytes;    /* of a row, in the level that has most */
} vad_pqnn_bank_t;

extern const vad_patch_search_t vad_pqnn_search;

#ifdef __cplusplus
}
#endif

#endif
