/* The two-phase search of a product-quantized bank: candidates by the distance between codes, the
 * nearest of them by the distance to the query itself. May miss the nearest row, unless it keeps as
 * many candidates as there are rows. */
#ifndef VAD_PQNN_SEARCH_H
#define VAD_PQNN_SEARCH_H

#include <stdint.h>

#include "vad_pq_search.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Words of scratch beside those of the tables: the candidates, and the query's own decoded code. */
#define VAD_PQNN_WORDS(n_candidates, dims) ((n_candidates)*2u + ((dims) + 3u) / 4u)

typedef struct {
    const vad_pq_bank_t *pq;
    uint16_t n_candidates; /* 1 to n_codes */
    uint16_t table_bytes;  /* of a row, in the level that has most */
} vad_pqnn_bank_t;

/* Without a warm start: bounds on the distance to the query say nothing about candidates. */
extern const vad_patch_search_t vad_pqnn_search;

#ifdef __cplusplus
}
#endif

#endif
