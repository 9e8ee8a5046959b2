/* Integer square root. */
#ifndef VAD_SQUARE_ROOT_H
#define VAD_SQUARE_ROOT_H

#include <stdint.h>

/* Floor of the square root, a bit at a time from the top. */
static inline uint32_t vad_square_root(uint64_t x) {
    uint64_t root = 0;
    uint64_t bit = UINT64_C(1) << 62;
    while (bit > x) {
        bit >>= 2;
    }
    for (; bit != 0; bit >>= 2) {
        if (x >= root + bit) {
            x -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return (uint32_t)root;
}

#endif
