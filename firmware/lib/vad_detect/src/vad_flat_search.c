#include "vad_flat_search.h"

#include <stddef.h>
#include <string.h>

#include "vad_bounded_distance.h"
#include "vad_pq_counted.h"
#include "vad_squared_distance.h"

static uint32_t distance(const void *context, uint32_t level, const int8_t *query, uint32_t row) {
    const vad_flat_bank_t *bank = context;
    uint32_t sum = 0;
    for (; level < bank->n_levels; level++) {
        const vad_flat_level_t *part = &bank->levels[level];
        const uint32_t dims = (uint32_t)(part->end_dim - part->first_dim);
        sum += vad_squared_distance(query + part->first_dim, part->rows + (size_t)row * dims, dims);
    }
    return sum;
}

static void scan(const void *context, uint32_t level, const int8_t *query,
                 const vad_patch_rows_t *in, uint32_t bound, int tighten, uint32_t *tables,
                 vad_patch_rows_t *out) {
    const vad_flat_bank_t *bank = context;
    const vad_flat_level_t *part = &bank->levels[level];
    const uint32_t dims = (uint32_t)(part->end_dim - part->first_dim);
    const uint32_t n = in == NULL ? bank->n_codes : in->n;
    uint32_t kept = 0;
    (void)tables;
    VAD_PQ_COUNT(VAD_PQ_ROWS, n);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t row = in == NULL ? i : in->row[i];
        const uint32_t sum =
            vad_bounded_distance(query + part->first_dim, part->rows + (size_t)row * dims, dims,
                                 bound, in == NULL ? 0 : in->partial[i]);
        if (sum < bound) {
            VAD_PQ_COUNT(VAD_PQ_KEPT, 1);
            kept = tighten ? 0 : kept;
            out->row[kept] = (uint16_t)row;
            out->partial[kept] = sum;
            kept++;
            bound = tighten ? sum : bound;
        }
    }
    out->n = kept;
}

static void decode(const void *context, uint32_t row, int8_t *out) {
    const vad_flat_bank_t *bank = context;
    for (uint32_t level = 0; level < bank->n_levels; level++) {
        const vad_flat_level_t *part = &bank->levels[level];
        const uint32_t dims = (uint32_t)(part->end_dim - part->first_dim);
        memcpy(out + part->first_dim, part->rows + (size_t)row * dims, dims);
    }
}

const vad_patch_search_t vad_flat_search = {.scan = scan, .distance = distance, .decode = decode};
