#include "vad_squared_distance.h"

#if VAD_DISTANCE_SIMD

/* Words of a vector that stay in registers while it is compared with all others. */
#define MAX_WORDS 3u

/* Part of a vector: `n_words` fours of values from `data` on. The last four end where the vector
 * ends; `shift` bits of them belong to the word before, and are shifted out. */
typedef struct {
    const int8_t *data;
    uint32_t n_words;
    int32_t last; /* offset of the last four */
    uint32_t shift;
} part_t;

static uint32_t word_of(const int8_t *data, const part_t *part, uint32_t i, uint32_t n_words) {
    return i + 1 < n_words ? vad_four_values(data + 4 * i)
                           : vad_four_values(data + part->last) >> part->shift;
}

/* Adds (or, when `adds` is 0, sets) the distances over one part. n_words and adds are constants at
 * each call, so that the loop over words is unrolled. */
static inline __attribute__((always_inline)) uint32_t
part_distances(const part_t *part, uint32_t n_words, int adds, const int8_t *other, uint32_t n,
               uint32_t dims, uint32_t *distances) {
    int16x2_t even[MAX_WORDS];
    int16x2_t odd[MAX_WORDS];
    for (uint32_t i = 0; i < n_words; i++) {
        const uint32_t word = word_of(part->data, part, i, n_words);
        even[i] = vad_even_values(word);
        odd[i] = vad_odd_values(word);
    }
    uint32_t least = UINT32_MAX;
    const uint32_t *const end = distances + n;
    while (distances < end) {
        uint32_t sum = adds ? *distances : 0;
        for (uint32_t i = 0; i < n_words; i++) {
            const uint32_t word = word_of(other, part, i, n_words);
            sum = vad_add_squares(vad_even_values(word), even[i], sum);
            sum = vad_add_squares(vad_odd_values(word), odd[i], sum);
        }
        other += dims;
        *distances++ = sum;
        least = sum < least ? sum : least;
    }
    return least;
}

static uint32_t first_distances(const part_t *part, const int8_t *others, uint32_t n, uint32_t dims,
                                uint32_t *distances) {
    switch (part->n_words) {
    case 1:
        return part_distances(part, 1, 0, others, n, dims, distances);
    case 2:
        return part_distances(part, 2, 0, others, n, dims, distances);
    default:
        return part_distances(part, 3, 0, others, n, dims, distances);
    }
}

static uint32_t more_distances(const part_t *part, const int8_t *others, uint32_t n, uint32_t dims,
                               uint32_t *distances) {
    switch (part->n_words) {
    case 1:
        return part_distances(part, 1, 1, others, n, dims, distances);
    case 2:
        return part_distances(part, 2, 1, others, n, dims, distances);
    default:
        return part_distances(part, 3, 1, others, n, dims, distances);
    }
}

static uint32_t fours_distances(const int8_t *vector, const int8_t *others, uint32_t n,
                                uint32_t dims, uint32_t *distances) {
    uint32_t least = 0;
    for (uint32_t first = 0; first < dims; first += 4 * MAX_WORDS) {
        const uint32_t left = dims - first;
        const uint32_t n_words = left >= 4 * MAX_WORDS ? MAX_WORDS : (left + 3) / 4;
        const uint32_t covered = left < 4 * n_words ? left : 4 * n_words;
        const part_t part = {vector + first, n_words, (int32_t)covered - 4,
                             8 * (4 * n_words - covered)};
        least = first == 0 ? first_distances(&part, others, n, dims, distances)
                           : more_distances(&part, others + first, n, dims, distances);
    }
    return least;
}

#endif

uint32_t vad_squared_distances(const int8_t *vector, const int8_t *others, uint32_t n,
                               uint32_t dims, uint32_t *distances) {
#if VAD_DISTANCE_SIMD
    if (dims >= 4) {
        return fours_distances(vector, others, n, dims, distances);
    }
#endif
    uint32_t least = UINT32_MAX;
    for (uint32_t k = 0; k < n; k++) {
        const uint32_t d = vad_squared_distance(vector, others, dims);
        others += dims;
        distances[k] = d;
        least = d < least ? d : least;
    }
    return least;
}
