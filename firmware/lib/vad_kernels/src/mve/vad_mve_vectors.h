/* What kernels for cores with Helium share that are written in C. */
#ifndef VAD_MVE_VECTORS_H
#define VAD_MVE_VECTORS_H

#include <arm_mve.h>

/* vad_requantize for shifts below 0; "signed" in vad_mve.h. */
static inline int32x4_t vad_mve_requantize(int32x4_t x, int32_t multiplier, int32_t shift) {
    const int32x4_t high = vqrdmulhq_n_s32(x, multiplier);
    return vrshlq_n_s32(vaddq_s32(high, vshrq_n_s32(high, 31)), shift);
}

/* Even and odd elements, saturated. */
static inline int16x8_t vad_mve_join(int32x4_t even, int32x4_t odd) {
    return vqmovntq_s32(vqmovnbq_s32(vuninitializedq_s16(), even), odd);
}

#endif
