/* PatchCore's re-weighting of the image score by the neighbours of the nearest row.
 * numpy twin: ref/reweight.py, vectors: tests/vectors/reweight.json. */
#ifndef VAD_REWEIGHT_H
#define VAD_REWEIGHT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Rows that are asked, the nearest row among them. */
#define VAD_REWEIGHT_NEIGHBORS 9u

/* exp(d) = 2^(((d * multiplier) >> shift) / 256): powers[i] = 2^(i / 256) in steps of 2^-15. */
typedef struct {
    uint32_t multiplier; /* below 2^18 */
    uint32_t shift;
    const uint16_t *powers; /* [256] */
} vad_reweight_t;

/* The rows nearest to another, nearest first, the lowest index first on ties. */
typedef struct {
    uint32_t n;
    uint32_t squared[VAD_REWEIGHT_NEIGHBORS];
    uint16_t row[VAD_REWEIGHT_NEIGHBORS];
} vad_neighbours_t;

/* Takes a row; rows come in ascending order. */
void vad_neighbours_add(vad_neighbours_t *neighbours, uint32_t squared, uint32_t row);

/* score: of the image, below 2^28. distances: of the strangest patch from the n >= 1 neighbours,
 * each below 2^24; the first is that from its nearest row. */
uint32_t vad_reweight(const vad_reweight_t *reweight, uint32_t score, const uint32_t *distances,
                      uint32_t n);

#ifdef __cplusplus
}
#endif

#endif
