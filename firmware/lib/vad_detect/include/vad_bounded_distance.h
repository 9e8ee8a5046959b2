/* Squared distance of int8 vectors that is given up once it is too large. */
#ifndef VAD_BOUNDED_DISTANCE_H
#define VAD_BOUNDED_DISTANCE_H

#include <stdint.h>

#include "vad_pq_counted.h"
#include "vad_squared_distance.h"

/* Dimensions between two looks at the bound. */
#define VAD_BOUNDED_GROUP 8u

/* `sum` plus the squared distance; where that reaches the bound, anything from the bound on. */
static inline uint32_t vad_bounded_distance(const int8_t *query, const int8_t *row, uint32_t dims,
                                            uint32_t bound, uint32_t sum) {
    for (; dims >= VAD_BOUNDED_GROUP && sum < bound; dims -= VAD_BOUNDED_GROUP) {
        VAD_PQ_COUNT(VAD_PQ_VALUES, VAD_BOUNDED_GROUP);
        sum += vad_squared_distance(query, row, VAD_BOUNDED_GROUP);
        query += VAD_BOUNDED_GROUP;
        row += VAD_BOUNDED_GROUP;
    }
    if (sum < bound) {
        VAD_PQ_COUNT(VAD_PQ_VALUES, dims);
        sum += vad_squared_distance(query, row, dims);
    }
    return sum;
}

#endif
