#include "vad_padim_full.h"

#include <stddef.h>
#include <string.h>

#include "vad_smooth.h"
#include "vad_square_root.h"

void vad_padim_full_begin(const vad_padim_full_t *detector, uint8_t *memory,
                          vad_padim_full_state_t *state) {
    state->cells = (uint32_t *)(void *)memory;
    memset(state->cells, 0, (size_t)detector->rows * detector->cols * sizeof *state->cells);
    state->score = 0;
}

static int32_t clamp(int32_t x, int32_t limit) {
    return x < -limit ? -limit : x > limit ? limit : x;
}

void vad_padim_full_sums(const vad_padim_full_t *detector, uint32_t tap, uint32_t y,
                         const int8_t *const rows[], int16_t *out) {
    const vad_padim_full_tap_t *t = &detector->taps[tap];
    const vad_runs_t *runs = &detector->across;
    const size_t channels = t->channels;
    for (uint32_t run = runs->start[y]; run < runs->start[y + 1]; run++) {
        for (uint32_t x = runs->first[run]; x < runs->end[run]; x++) {
            int16_t *sums = out + x * channels;
            memset(sums, 0, channels * sizeof *sums);
            for (uint32_t i = 0; i < (uint32_t)t->window * t->window; i++) {
                const int8_t *pixel =
                    rows[i / t->window] + ((size_t)x * t->window + i % t->window) * channels;
                /* At most 15 * 15 pixels: a sum is at most 28800 in magnitude. */
                for (uint32_t c = 0; c < channels; c++) {
                    sums[c] = (int16_t)(sums[c] + pixel[c]);
                }
            }
        }
    }
}

/* Adds one tap's part to the features of a cell. Every part is at most 32767 / n_taps, so sums stay
 * in int16. */
static void project(const vad_padim_full_tap_t *tap, uint32_t n_features, int32_t limit,
                    const int16_t *sums, int16_t *features) {
    for (uint32_t k = 0; k < n_features; k += 4) {
        const int16_t *weight = tap->weight + k;
        int32_t a0 = tap->bias[k], a1 = tap->bias[k + 1];
        int32_t a2 = tap->bias[k + 2], a3 = tap->bias[k + 3];
        for (uint32_t c = 0; c < tap->channels; c++) {
            const int32_t sum = sums[c];
            a0 += sum * weight[0];
            a1 += sum * weight[1];
            a2 += sum * weight[2];
            a3 += sum * weight[3];
            weight += n_features;
        }
        features[k] = (int16_t)(features[k] + clamp(a0 >> tap->shift, limit));
        features[k + 1] = (int16_t)(features[k + 1] + clamp(a1 >> tap->shift, limit));
        features[k + 2] = (int16_t)(features[k + 2] + clamp(a2 >> tap->shift, limit));
        features[k + 3] = (int16_t)(features[k + 3] + clamp(a3 >> tap->shift, limit));
    }
}

/* Square of a residual in units of its spread. |z| < 2^31 and scale < 2^16, so with the half the
 * product stays below 2^48; the square is at most 2^30. */
static uint32_t square(int32_t z, uint32_t scale, uint32_t shift) {
    const int64_t wide = ((int64_t)z * (int32_t)scale + ((int64_t)1 << (shift - 1))) >> shift;
    const int32_t t = wide > INT16_MAX ? INT16_MAX : wide < -INT16_MAX ? -INT16_MAX : (int32_t)wide;
    return (uint32_t)(t * t);
}

/* Squared distance of a cell, at most 512 * 2^30. r: its features; their differences from the mean
 * on return. */
static uint64_t distance(const vad_padim_full_t *detector, uint32_t cell, int16_t *r) {
    const uint32_t n = detector->features;
    const uint32_t shift = detector->scale_shift;
    const int32_t one = (int32_t)1 << detector->shift[cell];
    const int16_t *mean = detector->mean + (size_t)cell * n;
    const uint16_t *scale = detector->scale + (size_t)cell * n;
    const int8_t *lower = detector->lower + (size_t)cell * (n * (n - 1) / 2);
    for (uint32_t k = 0; k < n; k++) {
        r[k] = (int16_t)clamp(r[k] - mean[k], INT16_MAX);
    }
    uint64_t sum = 0;
    for (uint32_t k = 0; k < n; k += 4) {
        /* |r| <= 32767, one <= 128, |lower| <= 127: |z| <= 32767 * (128 + 511 * 127) < 2^31. */
        int32_t z0 = r[k] * one, z1 = r[k + 1] * one;
        int32_t z2 = r[k + 2] * one, z3 = r[k + 3] * one;
        for (uint32_t j = 0; j < k; j++) {
            const int32_t rj = r[j];
            z0 += rj * lower[0];
            z1 += rj * lower[1];
            z2 += rj * lower[2];
            z3 += rj * lower[3];
            lower += 4;
        }
        z1 += r[k] * lower[0];
        z2 += r[k] * lower[1] + r[k + 1] * lower[2];
        z3 += r[k] * lower[3] + r[k + 1] * lower[4] + r[k + 2] * lower[5];
        lower += 6;
        sum += square(z0, scale[k], shift);
        sum += square(z1, scale[k + 1], shift);
        sum += square(z2, scale[k + 2], shift);
        sum += square(z3, scale[k + 3], shift);
    }
    return sum;
}

/* Features of the cell at column x. sums: int16 scratch for as many channels as a tap has. */
static void features_of(const vad_padim_full_t *detector, const int8_t *const rows[], uint32_t x,
                        int16_t *features, int16_t *sums) {
    const int32_t limit = INT16_MAX / detector->n_taps;
    memset(features, 0, detector->features * sizeof *features);
    for (uint32_t i = 0; i < detector->n_taps; i++) {
        const vad_padim_full_tap_t *tap = &detector->taps[i];
        const size_t at = (size_t)x * tap->channels;
        if (tap->window > 1) {
            const int16_t *row = (const int16_t *)(const void *)rows[i];
            project(tap, detector->features, limit, row + at, features);
            continue;
        }
        for (uint32_t c = 0; c < tap->channels; c++) {
            sums[c] = rows[i][at + c];
        }
        project(tap, detector->features, limit, sums, features);
    }
}

void vad_padim_full_cells(const vad_padim_full_t *detector, uint32_t y, const int8_t *const rows[],
                          int16_t *scratch, vad_padim_full_state_t *state) {
    const vad_runs_t *runs = &detector->across;
    const uint32_t cols = detector->cols;
    for (uint32_t run = runs->start[y]; run < runs->start[y + 1]; run++) {
        uint32_t i = runs->cell[run];
        for (uint32_t x = runs->first[run]; x < runs->end[run]; x++, i++) {
            features_of(detector, rows, x, scratch, scratch + detector->features);
            state->cells[y * cols + x] = vad_square_root(distance(detector, i, scratch));
        }
    }
    if (y + 1 == detector->rows) {
        /* A root is below 2^20. */
        state->score = vad_smooth(runs, &detector->down, detector->rows, cols, state->cells);
    }
}

uint32_t vad_padim_full_score(const vad_padim_full_state_t *state) {
    return state->score;
}
