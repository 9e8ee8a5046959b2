#include "vad_padim_full.h"

#include <stddef.h>
#include <string.h>

#include "vad_square_root.h"

void vad_padim_full_begin(const vad_padim_full_t *detector, uint8_t *memory,
                          vad_padim_full_state_t *state) {
    const size_t n_cells = (size_t)detector->rows * detector->cols;
    const size_t n_features = (size_t)detector->n_cells * detector->features;
    memset(state, 0, sizeof *state);
    state->cells = (uint32_t *)(void *)memory;
    state->features = (int16_t *)(void *)(state->cells + n_cells);
    memset(state->cells, 0, n_cells * sizeof *state->cells);
    memset(state->features, 0, n_features * sizeof *state->features);
    int16_t *next = state->features + n_features;
    for (uint32_t i = 0; i < detector->n_taps; i++) {
        state->sums[i] = next;
        next += (size_t)detector->cols * detector->taps[i].channels;
    }
}

static int32_t clamp(int32_t x, int32_t limit) {
    return x < -limit ? -limit : x > limit ? limit : x;
}

/* Adds a row's pixels to the sums of its cells. A sum of at most 15 * 15 pixels is at most 28800 in
 * magnitude. */
static void add_pixels(uint32_t cols, uint32_t window, uint32_t channels, const int8_t *row,
                       int16_t *sums) {
    for (uint32_t x = 0; x < cols; x++, sums += channels) {
        for (uint32_t i = 0; i < window; i++, row += channels) {
            for (uint32_t c = 0; c < channels; c++) {
                sums[c] = (int16_t)(sums[c] + row[c]);
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

/* Weights 1-2-1 along the runs of `lines` lines, ends repeated: the lines start `pitch` apart,
 * their cells lie `stride` apart. A root is below 2^20, so cells stay below 2^24. */
static void smooth_runs(const vad_runs_t *runs, uint32_t lines, uint32_t pitch, uint32_t stride,
                        uint32_t *cells) {
    for (uint32_t line = 0; line < lines; line++) {
        for (uint32_t run = runs->start[line]; run < runs->start[line + 1]; run++) {
            uint32_t *cell = cells + line * pitch + runs->first[run] * stride;
            uint32_t before = *cell;
            for (uint32_t at = runs->first[run] + 1u; at < runs->end[run]; at++, cell += stride) {
                const uint32_t here = *cell;
                *cell = before + 2 * here + cell[stride];
                before = here;
            }
            *cell = before + 3 * *cell;
        }
    }
}

static uint32_t greatest(const uint32_t *cells, uint32_t count) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        found = cells[i] > found ? cells[i] : found;
    }
    return found;
}

/* Scores the rows of cells that every tap has covered. */
static void score_rows(const vad_padim_full_t *detector, vad_padim_full_state_t *state) {
    const vad_runs_t *runs = &detector->across;
    const uint32_t rows = detector->rows;
    const uint32_t cols = detector->cols;
    uint32_t covered = rows;
    for (uint32_t i = 0; i < detector->n_taps; i++) {
        const uint32_t whole = (uint32_t)state->tap_rows[i] / detector->taps[i].window;
        covered = whole < covered ? whole : covered;
    }
    if (state->scored == covered) {
        return;
    }
    for (; state->scored < covered; state->scored++) {
        const uint32_t y = state->scored;
        for (uint32_t run = runs->start[y]; run < runs->start[y + 1]; run++) {
            uint32_t i = runs->cell[run];
            for (uint32_t x = runs->first[run]; x < runs->end[run]; x++, i++) {
                int16_t *features = state->features + (size_t)i * detector->features;
                state->cells[y * cols + x] = vad_square_root(distance(detector, i, features));
            }
        }
    }
    if (covered == rows) {
        smooth_runs(runs, rows, cols, 1, state->cells);
        smooth_runs(&detector->down, cols, 1, cols, state->cells);
        state->score = greatest(state->cells, rows * cols);
    }
}

void vad_padim_full_row(const vad_padim_full_t *detector, uint32_t tap, const int8_t *row,
                        vad_padim_full_state_t *state) {
    const vad_padim_full_tap_t *t = &detector->taps[tap];
    const vad_runs_t *runs = &detector->across;
    const uint32_t window = t->window;
    const uint32_t y = state->tap_rows[tap]++;
    const uint32_t line = y / window;
    const uint32_t place = y % window; /* of the row in its cells */
    const int32_t limit = INT16_MAX / detector->n_taps;
    for (uint32_t run = runs->start[line]; run < runs->start[line + 1]; run++) {
        const uint32_t first = runs->first[run];
        const uint32_t n = runs->end[run] - first;
        int16_t *sums = state->sums[tap] + (size_t)first * t->channels;
        if (place == 0) {
            memset(sums, 0, (size_t)n * t->channels * sizeof *sums);
        }
        add_pixels(n, window, t->channels, row + (size_t)first * window * t->channels, sums);
        if (place + 1 < window) {
            continue;
        }
        int16_t *features = state->features + (size_t)runs->cell[run] * detector->features;
        for (uint32_t i = 0; i < n; i++) {
            project(t, detector->features, limit, sums, features);
            sums += t->channels;
            features += detector->features;
        }
    }
    if (place + 1 == window) {
        score_rows(detector, state);
    }
}

uint32_t vad_padim_full_score(const vad_padim_full_state_t *state) {
    return state->score;
}
