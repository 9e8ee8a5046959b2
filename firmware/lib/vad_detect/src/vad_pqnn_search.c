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

/* Index of the least of `n` values, the lowest on ties. */
static uint32_t least_of(const uint32_t *values, uint32_t n) {
    uint32_t least = 0;
    for (uint32_t i = 1; i < n; i++) {
        least = values[i] < values[least] ? i : least;
    }
    return least;
}

/* Replaces the query's sub-vectors of the level by the centroids nearest to them. tables: what
 * `vad_pq_search` made for the level; at 4 bits room for 16 distances. */
static void quantize(const vad_pq_bank_t *bank, const vad_pq_level_t *level, const int8_t *query,
                     uint32_t *tables, int8_t *own) {
    const uint32_t dims = bank->sub_dims;
    const uint32_t n = bank->n_centroids;
    for (uint32_t m = level->first_subspace; m < level->end_subspace; m++) {
        const uint32_t k = bank->bits == 8 ? least_of(tables + (m - level->first_subspace) * 256, n)
                                           : vad_pq_encode(bank, m, query, tables);
        memcpy(own + m * dims, bank->codewords + (m * n + k) * dims, dims);
    }
}

/* What the first level adds to the distance of each row from the query's own code. */
static void sum_first_level(const vad_pq_bank_t *bank, const int8_t *own, uint32_t *tables,
                            uint32_t *sums) {
    const vad_pq_level_t *first = &bank->levels[0];
    const uint8_t *code = first->codes;
    uint32_t rest[VAD_PQ_MAX_GROUPS];
    uint32_t limits[VAD_PQ_MAX_GROUPS];
    vad_pq_make_tables(bank, first, own, tables, rest);
    memset(limits, 0xFF, sizeof limits);
    VAD_PQ_COUNT(VAD_PQ_ROWS, bank->n_codes);
    for (uint32_t row = 0; row < bank->n_codes; row++, code += first->row_bytes) {
        sums[row] = vad_pq_row_sum(code, first->row_bytes, tables, limits, 0);
    }
}

/* `sum` plus the squared distance of a row from `vector` over levels `level`, `level + 1`, ...;
 * given up once it reaches the bound. */
static uint32_t bounded_distance(const vad_pq_bank_t *bank, uint32_t level, const int8_t *vector,
                                 uint32_t row, uint32_t bound, uint32_t sum) {
    for (; level < bank->n_levels && sum < bound; level++) {
        sum = vad_pq_level_distance(bank, &bank->levels[level], vector, row, bound, sum);
    }
    return sum;
}

/* Whether `row` is among the candidates: whether fewer than n_candidates rows precede it. */
static int is_candidate(const vad_pqnn_bank_t *bank, const int8_t *own, const uint32_t *sums,
                        uint32_t row) {
    const candidate_t it = {bounded_distance(bank->pq, 1, own, row, UINT32_MAX, sums[row]), row};
    uint32_t before = 0;
    uint32_t open = 0; /* rows that may precede it */
    for (uint32_t i = 0; i < bank->pq->n_codes; i++) {
        open += sums[i] <= it.distance;
    }
    open--;
    for (uint32_t i = 0; open + before >= bank->n_candidates; i++) {
        if (before >= bank->n_candidates) {
            return 0;
        }
        if (sums[i] <= it.distance && i != row) {
            const candidate_t other = {
                bounded_distance(bank->pq, 1, own, i, it.distance + 1, sums[i]), i};
            before += (uint32_t)is_worse(it, other);
            open--;
        }
    }
    return 1;
}

/* Keeps the rows nearest to the query's own code in the heap. */
static void choose_candidates(const vad_pqnn_bank_t *bank, const int8_t *own, const uint32_t *sums,
                              candidate_t *heap) {
    uint32_t n = 0;
    for (uint32_t row = 0; row < bank->pq->n_codes; row++) {
        const int is_full = n == bank->n_candidates;
        const uint32_t bound = is_full ? heap[0].distance : UINT32_MAX;
        const uint32_t sum = bounded_distance(bank->pq, 1, own, row, bound, sums[row]);
        if (!is_full) {
            heap[n++] = (candidate_t){sum, row};
            sift_up(heap, n);
        } else if (sum < bound) {
            heap[0] = (candidate_t){sum, row};
            sift_down(heap, n);
        }
    }
}

/* Of the candidates, the one nearest to the query; the lowest index on ties. */
static candidate_t nearest(const vad_pqnn_bank_t *bank, const int8_t *query,
                           const candidate_t *heap) {
    candidate_t best = {UINT32_MAX - 1, UINT32_MAX};
    for (uint32_t i = 0; i < bank->n_candidates; i++) {
        const uint32_t row = heap[i].row;
        const candidate_t found = {bounded_distance(bank->pq, 0, query, row, best.distance + 1, 0),
                                   row};
        best = is_worse(best, found) ? found : best;
    }
    return best;
}

static void scan(const void *context, uint32_t level, const int8_t *query,
                 const vad_patch_rows_t *in, uint32_t bound, int tighten, uint32_t *tables,
                 vad_patch_rows_t *out) {
    const vad_pqnn_bank_t *bank = context;
    candidate_t *heap = (candidate_t *)(tables + VAD_PQ_TABLE_WORDS(bank->table_bytes));
    uint32_t *sums = (uint32_t *)(heap + bank->n_candidates);
    int8_t *own = (int8_t *)(sums + bank->pq->n_codes);
    vad_pq_search.scan(bank->pq, level, query, in, bound, tighten, tables, out);
    if (bank->n_candidates == bank->pq->n_codes) {
        return;
    }
    quantize(bank->pq, &bank->pq->levels[level], query, tables, own);
    if (level == 0) {
        sum_first_level(bank->pq, own, tables, sums);
    }
    if (tighten && !is_candidate(bank, own, sums, out->row[0])) {
        choose_candidates(bank, own, sums, heap);
        const candidate_t best = nearest(bank, query, heap);
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
