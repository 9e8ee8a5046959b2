/* Look-up tables and sums of a product-quantized bank, shared by its searches. */
#ifndef VAD_PQ_TABLES_H
#define VAD_PQ_TABLES_H

#include <stdint.h>

#include "vad_pq_counted.h"
#include "vad_pq_search.h"

/* Look-ups between two looks at the bound. */
#define VAD_PQ_GROUP 4u
#define VAD_PQ_MAX_GROUPS (VAD_PQ_MAX_ROW_BYTES / VAD_PQ_GROUP)

/* Index of the centroid nearest to the query's sub-vector, the lowest on ties. distances: scratch,
 * [n_centroids]. */
uint32_t vad_pq_encode(const vad_pq_bank_t *bank, uint32_t subspace, const int8_t *query,
                       uint32_t *distances);

/* Makes the level's tables, uint32 [row_bytes][256], small ones [row_bytes][2][16], and for each
 * group of bytes the least that the later groups add, rest[row_bytes / VAD_PQ_GROUP]. */
void vad_pq_make_tables(const vad_pq_bank_t *bank, const vad_pq_level_t *level, const int8_t *query,
                        uint32_t *tables, uint32_t *rest);

/* limits[g] = bound - rest[g], or 0: a sum that reaches it cannot stay below the bound. */
void vad_pq_make_limits(const uint32_t *rest, uint32_t n_groups, uint32_t bound, uint32_t *limits);

/* `sum` plus the squared distance of one row over one level, straight from the codewords; given up
 * once it reaches the bound. */
uint32_t vad_pq_level_distance(const vad_pq_bank_t *bank, const vad_pq_level_t *level,
                               const int8_t *query, uint32_t row, uint32_t bound, uint32_t sum);

/* Writes one row over one level, int8 [dims], at the level's place in `out`. */
void vad_pq_decode(const vad_pq_bank_t *bank, const vad_pq_level_t *level, uint32_t row,
                   int8_t *out);

/* `sum` plus a row's look-ups; UINT32_MAX once a whole group reaches its limit. */
static inline uint32_t vad_pq_row_sum(const uint8_t *code, uint32_t row_bytes,
                                      const uint32_t *table, const uint32_t *limits, uint32_t sum) {
    const uint8_t *const end = code + row_bytes;
    for (; (uint32_t)(end - code) >= VAD_PQ_GROUP; code += VAD_PQ_GROUP) {
        VAD_PQ_COUNT(VAD_PQ_LOOK_UPS, VAD_PQ_GROUP);
        sum += table[code[0]] + table[256 + code[1]] + table[512 + code[2]] + table[768 + code[3]];
        if (sum >= *limits++) {
            return UINT32_MAX;
        }
        table += VAD_PQ_GROUP * 256;
    }
    VAD_PQ_COUNT(VAD_PQ_LOOK_UPS, (uint32_t)(end - code));
    for (; code < end; code++, table += 256) {
        sum += table[*code];
    }
    return sum;
}

static inline uint32_t vad_pq_small_look_up(const uint32_t *table, uint32_t code) {
    return table[code & 15u] + table[16u + (code >> 4)];
}

/* The same with small tables. */
static inline uint32_t vad_pq_row_sum_small(const uint8_t *code, uint32_t row_bytes,
                                            const uint32_t *table, const uint32_t *limits,
                                            uint32_t sum) {
    const uint8_t *const end = code + row_bytes;
    for (; (uint32_t)(end - code) >= VAD_PQ_GROUP; code += VAD_PQ_GROUP) {
        VAD_PQ_COUNT(VAD_PQ_LOOK_UPS, 2 * VAD_PQ_GROUP);
        sum += vad_pq_small_look_up(table, code[0]) + vad_pq_small_look_up(table + 32, code[1]) +
               vad_pq_small_look_up(table + 64, code[2]) +
               vad_pq_small_look_up(table + 96, code[3]);
        if (sum >= *limits++) {
            return UINT32_MAX;
        }
        table += VAD_PQ_GROUP * 32;
    }
    VAD_PQ_COUNT(VAD_PQ_LOOK_UPS, 2 * (uint32_t)(end - code));
    for (; code < end; code++, table += 32) {
        sum += vad_pq_small_look_up(table, *code);
    }
    return sum;
}

#endif
