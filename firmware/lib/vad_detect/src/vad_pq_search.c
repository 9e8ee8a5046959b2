#include "vad_pq_search.h"

#include <stddef.h>

#include "vad_pq_tables.h"

static uint32_t distance(const void *context, uint32_t level, const int8_t *query, uint32_t row) {
    const vad_pq_bank_t *bank = context;
    uint32_t sum = 0;
    for (; level < bank->n_levels; level++) {
        sum = vad_pq_level_distance(bank, &bank->levels[level], query, row, UINT32_MAX, sum);
    }
    return sum;
}

/* Look-ups of all rows from zero, with tables of bytes; keeps those below the bound. */
static uint32_t scan_all(const vad_pq_level_t *part, uint32_t n, uint32_t bound,
                         const uint32_t *tables, const uint32_t *limits, vad_patch_rows_t *out) {
    const uint32_t row_bytes = part->row_bytes;
    const uint8_t *code = part->codes;
    uint16_t *rows = out->row;
    uint32_t *partial = out->partial;
    for (uint32_t row = 0; row < n; row++, code += row_bytes) {
        const uint32_t sum = vad_pq_row_sum(code, row_bytes, tables, limits, 0);
        if (sum < bound) {
            *rows++ = (uint16_t)row;
            *partial++ = sum;
        }
    }
    return (uint32_t)(rows - out->row);
}

static void scan(const void *context, uint32_t level, const int8_t *query,
                 const vad_patch_rows_t *in, uint32_t bound, int tighten, uint32_t *tables,
                 vad_patch_rows_t *out) {
    const vad_pq_bank_t *bank = context;
    const vad_pq_level_t *part = &bank->levels[level];
    const uint32_t n = in == NULL ? bank->n_codes : in->n;
    const uint32_t n_groups = part->row_bytes / VAD_PQ_GROUP;
    const int use_tables = n >= part->table_rows;
    uint32_t rest[VAD_PQ_MAX_GROUPS];
    uint32_t limits[VAD_PQ_MAX_GROUPS];
    VAD_PQ_COUNT(VAD_PQ_ROWS, n);
    if (use_tables) {
        vad_pq_make_tables(bank, part, query, tables, rest);
        vad_pq_make_limits(rest, n_groups, bound, limits);
    }
    if (in == NULL && use_tables && !tighten && !bank->small_tables) {
        out->n = scan_all(part, n, bound, tables, limits, out);
        VAD_PQ_COUNT(VAD_PQ_KEPT, out->n);
        return;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t row = in == NULL ? i : in->row[i];
        uint32_t sum = in == NULL ? 0 : in->partial[i];
        if (sum >= bound) {
            continue;
        }
        const uint8_t *codes = part->codes + (size_t)row * part->row_bytes;
        if (use_tables && bank->small_tables) {
            sum = vad_pq_row_sum_small(codes, part->row_bytes, tables, limits, sum);
        } else if (use_tables) {
            sum = vad_pq_row_sum(codes, part->row_bytes, tables, limits, sum);
        } else {
            sum = vad_pq_level_distance(bank, part, query, row, bound, sum);
        }
        if (sum < bound) {
            VAD_PQ_COUNT(VAD_PQ_KEPT, 1);
            kept = tighten ? 0 : kept;
            out->row[kept] = (uint16_t)row;
            out->partial[kept] = sum;
            kept++;
            if (tighten) {
                bound = sum;
                if (use_tables) {
                    vad_pq_make_limits(rest, n_groups, bound, limits);
                }
            }
        }
    }
    out->n = kept;
}

static void decode(const void *context, uint32_t row, int8_t *out) {
    const vad_pq_bank_t *bank = context;
    for (uint32_t level = 0; level < bank->n_levels; level++) {
        vad_pq_decode(bank, &bank->levels[level], row, out);
    }
}

const vad_patch_search_t vad_pq_search = {.scan = scan, .distance = distance, .decode = decode};
