#include "vad_pq_search.h"

#include <stddef.h>

/* Look-ups between two looks at the bound. */
#define GROUP 4u

/* |a - b| <= 254, so a term is below 2^16. */
static uint32_t squared_distance(const int8_t *a, const int8_t *b, uint32_t n) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        const int32_t d = a[i] - b[i];
        sum += (uint32_t)(d * d);
    }
    return sum;
}

/* Distances of the query's sub-vector to the `n` centroids of a subspace; returns the least. */
static uint32_t centroid_distances(const vad_pq_bank_t *bank, uint32_t subspace, uint32_t n,
                                   const int8_t *query, uint32_t *table) {
    const uint32_t dims = bank->sub_dims;
    const int8_t *centroid = bank->codewords + subspace * n * dims;
    const int8_t *part = query + subspace * dims;
    uint32_t least = UINT32_MAX;
    for (uint32_t k = 0; k < n; k++) {
        const uint32_t d = squared_distance(part, centroid, dims);
        centroid += dims;
        table[k] = d;
        least = d < least ? d : least;
    }
    return least;
}

/* One table of 256 sums for a byte that holds two 4-bit codes; returns the least sum. */
static uint32_t paired_distances(const vad_pq_bank_t *bank, uint32_t subspace, uint32_t end,
                                 const int8_t *query, uint32_t *table) {
    uint32_t low[16];
    uint32_t high[16] = {0};
    uint32_t least = centroid_distances(bank, subspace, 16, query, low);
    if (subspace + 1 < end) {
        least += centroid_distances(bank, subspace + 1, 16, query, high);
    }
    for (uint32_t j = 0; j < 16; j++) {
        for (uint32_t i = 0; i < 16; i++) {
            *table++ = low[i] + high[j];
        }
    }
    return least;
}

/* Fills the level's tables and, for each group of look-ups, the least that the later ones add. */
static void make_tables(const vad_pq_bank_t *bank, const vad_pq_level_t *level, const int8_t *query,
                        uint32_t *tables, uint32_t *rest) {
    uint32_t after = 0;
    for (uint32_t byte = level->row_bytes; byte-- > 0;) {
        if (byte % GROUP == GROUP - 1) {
            rest[byte / GROUP] = after;
        }
        uint32_t *table = tables + byte * 256;
        if (bank->bits == 8) {
            after += centroid_distances(bank, level->first_subspace + byte, 256, query, table);
        } else {
            after += paired_distances(bank, level->first_subspace + 2 * byte, level->end_subspace,
                                      query, table);
        }
    }
}

/* limits[g] = bound - rest[g], or 0 below it: a sum that reaches it cannot stay below the bound. */
static void make_limits(const uint32_t *rest, uint32_t n_groups, uint32_t bound, uint32_t *limits) {
    for (uint32_t g = 0; g < n_groups; g++) {
        limits[g] = bound > rest[g] ? bound - rest[g] : 0;
    }
}

/* Sum of a row's look-ups; whole groups stop early, with some value that is not below the bound. */
static uint32_t row_sum(const uint8_t *code, uint32_t row_bytes, const uint32_t *table,
                        const uint32_t *limits, uint32_t sum) {
    const uint8_t *const end = code + row_bytes;
    for (; (uint32_t)(end - code) >= GROUP; code += GROUP, table += GROUP * 256) {
        sum += table[code[0]] + table[256 + code[1]] + table[512 + code[2]] + table[768 + code[3]];
        if (sum >= *limits++) {
            return UINT32_MAX;
        }
    }
    for (; code < end; code++, table += 256) {
        sum += table[*code];
    }
    return sum;
}

/* Distance of one row over one level, straight from the codewords. */
static uint32_t level_distance(const vad_pq_bank_t *bank, const vad_pq_level_t *level,
                               const int8_t *query, uint32_t row) {
    const uint32_t dims = bank->sub_dims;
    const uint8_t *code = level->codes + (size_t)row * level->row_bytes;
    const int8_t *part = query + level->first_subspace * dims;
    const int8_t *codeword = bank->codewords + ((level->first_subspace * dims) << bank->bits);
    uint32_t sum = 0;
    for (uint32_t m = level->first_subspace; m < level->end_subspace; m++) {
        uint32_t k;
        if (bank->bits == 8) {
            k = *code++;
        } else if ((m - level->first_subspace) % 2 == 0) {
            k = *code & 15u;
        } else {
            k = *code++ >> 4;
        }
        sum += squared_distance(part, codeword + k * dims, dims);
        part += dims;
        codeword += dims << bank->bits;
    }
    return sum;
}

static uint32_t distance(const void *context, uint32_t level, const int8_t *query, uint32_t row) {
    const vad_pq_bank_t *bank = context;
    uint32_t sum = 0;
    for (; level < bank->n_levels; level++) {
        sum += level_distance(bank, &bank->levels[level], query, row);
    }
    return sum;
}

static void scan(const void *context, uint32_t level, const int8_t *query,
                 const vad_patch_rows_t *in, uint32_t bound, int tighten, uint32_t *tables,
                 vad_patch_rows_t *out) {
    const vad_pq_bank_t *bank = context;
    const vad_pq_level_t *part = &bank->levels[level];
    const uint32_t n = in == NULL ? bank->n_codes : in->n;
    const uint32_t n_groups = part->row_bytes / GROUP;
    const int use_tables = n >= part->table_rows;
    uint32_t rest[VAD_PQ_MAX_ROW_BYTES / GROUP];
    uint32_t limits[VAD_PQ_MAX_ROW_BYTES / GROUP];
    if (use_tables) {
        make_tables(bank, part, query, tables, rest);
        make_limits(rest, n_groups, bound, limits);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t row = in == NULL ? i : in->row[i];
        uint32_t sum = in == NULL ? 0 : in->partial[i];
        if (sum >= bound) {
            continue;
        }
        if (use_tables) {
            sum = row_sum(part->codes + (size_t)row * part->row_bytes, part->row_bytes, tables,
                          limits, sum);
        } else {
            sum += level_distance(bank, part, query, row);
        }
        if (sum < bound) {
            kept = tighten ? 0 : kept;
            out->row[kept] = (uint16_t)row;
            out->partial[kept] = sum;
            kept++;
            if (tighten) {
                bound = sum;
                if (use_tables) {
                    make_limits(rest, n_groups, bound, limits);
                }
            }
        }
    }
    out->n = kept;
}

const vad_patch_search_t vad_pq_search = {.scan = scan, .distance = distance};
