#include "vad_reweight.h"

#define STEP_BITS 8u
/* exp beyond 2^24 changes nothing. */
#define MOST_STEPS (24u << STEP_BITS)

void vad_neighbours_add(vad_neighbours_t *neighbours, uint32_t squared, uint32_t row) {
    uint32_t at = neighbours->n;
    if (at == VAD_REWEIGHT_NEIGHBORS) {
        if (squared >= neighbours->squared[at - 1]) {
            return;
        }
        at--;
    } else {
        neighbours->n++;
    }
    for (; at > 0 && neighbours->squared[at - 1] > squared; at--) {
        neighbours->squared[at] = neighbours->squared[at - 1];
        neighbours->row[at] = neighbours->row[at - 1];
    }
    neighbours->squared[at] = squared;
    neighbours->row[at] = (uint16_t)row;
}

uint32_t vad_reweight(const vad_reweight_t *reweight, uint32_t score, const uint32_t *distances,
                      uint32_t n) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t beyond = distances[i] > distances[0] ? distances[i] - distances[0] : 0;
        const uint64_t steps = (beyond * reweight->multiplier) >> reweight->shift;
        const uint32_t capped = steps < MOST_STEPS ? (uint32_t)steps : MOST_STEPS;
        total += (uint64_t)reweight->powers[capped & ((1u << STEP_BITS) - 1u)]
                 << (capped >> STEP_BITS);
    }
    const uint64_t share = ((uint64_t)1 << 31) / total;
    return score - (uint32_t)((score * share) >> 16); /* share <= 2^16 */
}
