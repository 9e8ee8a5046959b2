#include "vad_pqnn_search.h"

#include <stddef.h>
#include <string.h>

#include "vad_pq_tables.h"

typedef struct {
    uint32_t distance;
    uint32_t row;
} candidate_t;

/* Farther, or as far with a higher index. */
static int is_worse(candidate_t a, candidate_t b) {
    return a.distance > b.distance || (a.distance == b.distance && a.row > b.row);
}

/* Restores the heap (the worst on top) after heap[0] changed. */
static void sift_down(candidate_t *heap, uint32_t n) {
    uint32_t at = 0;
    for (uint32_t child = 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && is_worse(heap[child + 1], heap[child])) {
            child++;
        }
        if (!is_worse(heap[child], heap[at])) {
            return;
        }
        const candidate_t moved = heap[at];
        heap[at] = heap[child];
        heap[child] = moved;
        at = child;
    }
}

/* Restores the heap after one was appended as heap[n - 1]. */
static void sift_up(candidate_t *heap, uint32_t n) {
    for (uint32_t at = n - 1; at > 0 && is_worse(heap[at], heap[(at - 1) / 2]);) {
        const uint32_t parent = (at - 1) / 2;
        const candidate_t moved = heap[at];
        heap[at] = heap[parent];
        heap[parent] = moved;
        at = parent;
    }
}

/* Replaces the query's sub-vectors of the level by the centroids nearest to them. scratch: room for
 * distances to the centroids of a subspace. */
static void quantize(const vad_pq_bank_t *bank, const vad_pq_level_t *level, const int8_t *query,
                     uint32_t *scratch, int8_t *own) {
    const uint32_t dims = bank->sub_dims;
    for (uint32_t m = level->first_subspace; m < level->end_subspace; m++) {
        const uint32_t k = vad_pq_encode(bank, m, query, scratch);
        memcpy(own + m * dims, bank->codewords + (m * bank->n_centroids + k) * dims, dims);
    }
}

/* Of the candidates, the one nearest to the query; the lowest index on ties. */
static candidate_t nearest(const vad_pq_bank_t *bank, const int8_t *query, const candidate_t *heap,
                           uint32_t n) {
    candidate_t best = {UINT32_MAX, UINT32_MAX};
    for (uint32_t i = 0; i < n; i++) {
        const candidate_t found = {vad_pq_search.distance(bank, 0, query, heap[i].row),
                                   heap[i].row};
        best = is_worse(best, found) ? found : best;
    }
    return best;
}

static void scan(const void *context, uint32_t level, const int8_t *query,
                 const vad_patch_rows_t *in, uint32_t bound, int tighten, uint32_t *tables,
                 vad_patch_rows_t *out) {
    const vad_pqnn_bank_t *bank = context;
    const vad_pq_level_t *part = &bank->pq->levels[level];
    candidate_t *heap = (candidate_t *)(tables + VAD_PQ_TABLE_WORDS(bank->table_bytes));
    int8_t *own = (int8_t *)(heap + bank->n_candidates);
    uint32_t rest[VAD_PQ_MAX_GROUPS];
    uint32_t limits[VAD_PQ_MAX_GROUPS];
    uint32_t n_kept = 0;
    quantize(bank->pq, part, query, tables, own);
    vad_pq_make_tables(bank->pq, part, own, tables, rest);
    vad_pq_make_limits(rest, part->row_bytes / VAD_PQ_GROUP, bound, limits);
    for (uint32_t row = 0; row < bank->pq->n_codes; row++) {
        const uint32_t sum =
            vad_pq_row_sum(part->codes + (size_t)row * part->row_bytes, part->row_bytes, tables,
                           limits, in == NULL ? 0 : in->partial[row]);
        if (!tighten) {
            out->row[row] = (uint16_t)row;
            out->partial[row] = sum;
        } else if (n_kept < bank->n_candidates) {
            heap[n_kept++] = (candidate_t){sum, row};
            sift_up(heap, n_kept);
        } else if (sum < heap[0].distance) {
            heap[0] = (candidate_t){sum, row};
            sift_down(heap, n_kept);
        }
    }
    out->n = tighten ? 1 : bank->pq->n_codes;
    if (tighten) {
        const candidate_t best = nearest(bank->pq, query, heap, n_kept);
        out->row[0] = (uint16_t)best.row;
        out->partial[0] = best.distance;
    }
}

static uint32_t distance(const void *context, uint32_t level, const int8_t *query, uint32_t row) {
    const vad_pqnn_bank_t *bank = context;
    return vad_pq_search.distance(bank->pq, level, query, row);
}

static void decode(const void *context, uint32_t row, int8_t *out) {
    const vad_pqnn_bank_t *bank = context;
    vad_pq_search.decode(bank->pq, row, out);
}

const vad_patch_search_t vad_pqnn_search = {.scan = scan, .distance = distance, .decode = decode};
