/* Nearest repetition: which finer positions a coarse one covers. */
#ifndef VAD_COVERED_H
#define VAD_COVERED_H

#include <stdint.h>

/* First of `n` finer positions that nearest repetition takes from coarse position `at` of `of`. */
static inline uint32_t vad_first_covered(uint32_t at, uint32_t of, uint32_t n) {
    return (at * n + of - 1) / of;
}

#endif
