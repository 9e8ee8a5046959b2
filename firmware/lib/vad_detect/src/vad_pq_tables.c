#include "vad_pq_tables.h"

#include <stddef.h>
#include <string.h>

#include "vad_squared_distance.h"

/* Distances of the query's sub-vector to the centroids of a subspace; returns the least. */
static uint32_t centroid_distances(const vad_pq_bank_t *bank, uint32_t subspace,
                                   const int8_t *query, uint32_t *table) {
    const uint32_t dims = bank->sub_dims;
    const uint32_t n = bank->n_centroids;
    VAD_PQ_COUNT(VAD_PQ_TABLE_ENTRIES, n);
    return vad_squared_distances(query + subspace * dims, bank->codewords + subspace * n * dims, n,
                                 dims, table);
}

uint32_t vad_pq_encode(const vad_pq_bank_t *bank, uint32_t subspace, const int8_t *query,
                       uint32_t *distances) {
    const uint32_t least = centroid_distances(bank, subspace, query, distances);
    uint32_t nearest = 0;
    while (distances[nearest] != least) {
        nearest++;
    }
    return nearest;
}

/* A table of 16 for each of the two codes of a byte, zeros where there are fewer centroids or the
 * level has no second code; returns the least sum. */
static uint32_t two_distances(const vad_pq_bank_t *bank, uint32_t subspace, uint32_t end,
                              const int8_t *query, uint32_t *low, uint32_t *high) {
    memset(low, 0, 16 * sizeof *low);
    memset(high, 0, 16 * sizeof *high);
    const uint32_t least = centroid_distances(bank, subspace, query, low);
    return subspace + 1 < end ? least + centroid_distances(bank, subspace + 1, query, high) : least;
}

/* One table of 256 sums for a byte that holds two 4-bit codes; returns the least sum. */
static uint32_t paired_distances(const vad_pq_bank_t *bank, uint32_t subspace, uint32_t end,
                                 const int8_t *query, uint32_t *table) {
    uint32_t low[16];
    uint32_t high[16];
    const uint32_t least = two_distances(bank, subspace, end, query, low, high);
    VAD_PQ_COUNT(VAD_PQ_SUMS, 256);
    for (uint32_t j = 0; j < 16; j++) {
        for (uint32_t i = 0; i < 16; i++) {
            *table++ = low[i] + high[j];
        }
    }
    return least;
}

void vad_pq_make_tables(const vad_pq_bank_t *bank, const vad_pq_level_t *level, const int8_t *query,
                        uint32_t *tables, uint32_t *rest) {
    uint32_t after = 0;
    for (uint32_t byte = level->row_bytes; byte-- > 0;) {
        if (byte % VAD_PQ_GROUP == VAD_PQ_GROUP - 1) {
            rest[byte / VAD_PQ_GROUP] = after;
        }
        if (bank->bits == 8) {
            after +=
                centroid_distances(bank, level->first_subspace + byte, query, tables + byte * 256);
        } else if (bank->small_tables) {
            uint32_t *table = tables + byte * 32;
            after += two_distances(bank, level->first_subspace + 2 * byte, level->end_subspace,
                                   query, table, table + 16);
        } else {
            after += paired_distances(bank, level->first_subspace + 2 * byte, level->end_subspace,
                                      query, tables + byte * 256);
        }
    }
}

void vad_pq_make_limits(const uint32_t *rest, uint32_t n_groups, uint32_t bound, uint32_t *limits) {
    for (uint32_t g = 0; g < n_groups; g++) {
        limits[g] = bound > rest[g] ? bound - rest[g] : 0;
    }
}

uint32_t vad_pq_level_distance(const vad_pq_bank_t *bank, const vad_pq_level_t *level,
                               const int8_t *query, uint32_t row, uint32_t bound, uint32_t sum) {
    const uint32_t dims = bank->sub_dims;
    const uint8_t *code = level->codes + (size_t)row * level->row_bytes;
    const int8_t *part = query + level->first_subspace * dims;
    const int8_t *codeword = bank->codewords + level->first_subspace * dims * bank->n_centroids;
    for (uint32_t m = level->first_subspace; m < level->end_subspace && sum < bound; m++) {
        uint32_t k = *code;
        if (bank->bits == 8) {
            code++;
        } else if ((m - level->first_subspace) % 2 == 0) {
            k &= 15u;
        } else {
            k >>= 4;
            code++;
        }
        VAD_PQ_COUNT(VAD_PQ_DIRECT, 1);
        sum += vad_squared_distance(part, codeword + k * dims, dims);
        part += dims;
        codeword += dims * bank->n_centroids;
    }
    return sum;
}

void vad_pq_decode(const vad_pq_bank_t *bank, const vad_pq_level_t *level, uint32_t row,
                   int8_t *out) {
    const uint32_t dims = bank->sub_dims;
    const uint8_t *code = level->codes + (size_t)row * level->row_bytes;
    for (uint32_t m = level->first_subspace; m < level->end_subspace; m++) {
        const uint32_t i = m - level->first_subspace;
        const uint32_t k = bank->bits == 8 ? code[i] : code[i / 2] >> 4 * (i % 2) & 15u;
        memcpy(out + m * dims, bank->codewords + (m * bank->n_centroids + k) * dims, dims);
    }
}
