/* Squared distances as the core computes them against the definition, for all lengths up to 41 at
 * every alignment. The exit code says which comparison failed. */
#include "vad_port.h"
#include "vad_squared_distance.h"

#define N 5u
#define MAX_DIMS 41u

static int8_t drawn(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    const uint32_t kind = *state >> 30;
    return (int8_t)(kind == 0 ? -128 : kind == 1 ? 127 : (int32_t)(*state >> 16 & 255u) - 128);
}

static uint32_t plain(const int8_t *a, const int8_t *b, uint32_t n) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += (uint32_t)((a[i] - b[i]) * (a[i] - b[i]));
    }
    return sum;
}

static int check(const int8_t *vector, const int8_t *others, uint32_t dims) {
    uint32_t found[N + 1];
    uint32_t least = UINT32_MAX;
    found[N] = 7;
    const uint32_t told = vad_squared_distances(vector, others, N, dims, found);
    for (uint32_t i = 0; i < N; i++) {
        const uint32_t d = plain(vector, others + i * dims, dims);
        least = d < least ? d : least;
        if (found[i] != d || vad_squared_distance(vector, others + i * dims, dims) != d) {
            return 5;
        }
    }
    return told != least ? 6 : found[N] != 7 ? 7 : 0;
}

int main(void) {
    static _Alignas(4) int8_t vector[MAX_DIMS + 3];
    static _Alignas(4) int8_t others[N * MAX_DIMS + 3];
    uint32_t state = 1;
    int failed = 0;
    (void)vad_port_open();
    for (uint32_t dims = 1; dims <= MAX_DIMS && failed == 0; dims++) {
        for (uint32_t at = 0; at < 16 && failed == 0; at++) {
            for (uint32_t i = 0; i < sizeof vector; i++) {
                vector[i] = drawn(&state);
            }
            for (uint32_t i = 0; i < sizeof others; i++) {
                others[i] = drawn(&state);
            }
            failed = check(vector + at % 4, others + at / 4, dims);
        }
    }
    return failed;
}
