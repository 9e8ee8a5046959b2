#include "vad_padim.h"

#include <stddef.h>

#include "vad_square_root.h"

/* First fine index that coarse index y covers, when nearest repetition makes `fine` of `coarse`. */
static uint32_t first_fine(uint32_t y, uint32_t coarse, uint32_t fine) {
    return (y * fine + coarse - 1) / coarse;
}

void vad_padim_begin(const vad_padim_t *detector, uint8_t *memory, vad_padim_state_t *state) {
    state->totals = (uint64_t *)(void *)memory;
    state->cells = NULL;
    const uint32_t count = (uint32_t)detector->rows * detector->cols;
    for (uint32_t i = 0; i < count; i++) {
        state->totals[i] = 0;
    }
    for (uint32_t i = 0; i < VAD_PADIM_MAX_TAPS; i++) {
        state->row[i] = 0;
    }
}

/* |d| <= 255 * 16 = 4080, so d * d < 2^24; times a weight below 2^16 it is below 2^40, and the sum
 * over at most 2^12 channels of all taps below 2^52. */
static uint64_t distance(const vad_padim_tap_t *tap, const int8_t *features, const int16_t *mean,
                         const uint16_t *weight) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < tap->n_kept; i++) {
        const int32_t feature = features[tap->channels[i]];
        const int32_t d = feature * (1 << VAD_PADIM_MEAN_BITS) - mean[i];
        total += (uint64_t)(uint32_t)(d * d) * weight[i];
    }
    return total;
}

void vad_padim_row(const vad_padim_t *detector, uint32_t tap_index, const int8_t *row,
                   vad_padim_state_t *state) {
    const vad_padim_tap_t *tap = &detector->taps[tap_index];
    const uint32_t y = state->row[tap_index]++;
    const uint32_t top = first_fine(y, tap->rows, detector->rows);
    const uint32_t bottom = first_fine(y + 1, tap->rows, detector->rows);
    const vad_runs_t *runs = &tap->runs;
    for (uint32_t run = runs->start[y]; run < runs->start[y + 1]; run++) {
        const uint32_t first = runs->first[run];
        const size_t entry = (size_t)runs->cell[run] * tap->n_kept;
        const int16_t *mean = tap->mean + entry;
        const uint16_t *weight = tap->weight + entry;
        const int8_t *features = row + (size_t)first * tap->n_channels;
        uint32_t right = first_fine(first, tap->cols, detector->cols);
        for (uint32_t x = first; x < runs->end[run]; x++) {
            const uint64_t total = distance(tap, features, mean, weight);
            const uint32_t left = right;
            right = first_fine(x + 1, tap->cols, detector->cols);
            for (uint32_t i = top; i < bottom; i++) {
                for (uint32_t j = left; j < right; j++) {
                    state->totals[i * detector->cols + j] += total;
                }
            }
            features += tap->n_channels;
            mean += tap->n_kept;
            weight += tap->n_kept;
        }
    }
}

/* One line of `count` cells, `stride` apart: (1 4 6 4 1) / 16, ends repeated. A cell is below 2^26,
 * so sixteen of them stay below 2^30. */
static void smooth_line(const uint32_t *from, uint32_t *to, uint32_t count, uint32_t stride) {
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t a = i < 2 ? 0 : i - 2;
        const uint32_t b = i < 1 ? 0 : i - 1;
        const uint32_t d = i + 1 < count ? i + 1 : count - 1;
        const uint32_t e = i + 2 < count ? i + 2 : count - 1;
        const uint32_t sum = from[a * stride] + from[e * stride] +
                             4 * (from[b * stride] + from[d * stride]) + 6 * from[i * stride];
        to[i * stride] = (sum + 8) >> 4;
    }
}

/* Cells [from, to) are 0. */
static void clear(uint32_t *cells, uint32_t from, uint32_t to) {
    const uint32_t zero = 0;
    for (uint32_t i = from; i < to; i++) {
        __builtin_memcpy(cells + i, &zero, sizeof zero);
    }
}

/* Cell i lies in the memory of total i / 2, which is read before. */
static void take_roots(const vad_padim_t *detector, const uint64_t *totals, uint32_t *cells) {
    const vad_runs_t *runs = detector->across;
    uint32_t i = 0;
    for (uint32_t y = 0; y < detector->rows; y++) {
        const uint32_t line = y * detector->cols;
        for (uint32_t run = runs->start[y]; run < runs->start[y + 1]; run++) {
            clear(cells, i, line + runs->first[run]);
            for (i = line + runs->first[run]; i < line + runs->end[run]; i++) {
                uint64_t total;
                __builtin_memcpy(&total, totals + i, sizeof total);
                const uint32_t root = vad_square_root(total);
                __builtin_memcpy(cells + i, &root, sizeof root);
            }
        }
    }
    clear(cells, i, (uint32_t)detector->rows * detector->cols);
}

/* Smooths the runs of `lines` lines, whose cells lie `stride` apart and which start `pitch` apart.
 */
static void smooth_runs(const vad_runs_t *runs, uint32_t lines, uint32_t pitch, uint32_t stride,
                        const uint32_t *from, uint32_t *to) {
    for (uint32_t line = 0; line < lines; line++) {
        for (uint32_t run = runs->start[line]; run < runs->start[line + 1]; run++) {
            const uint32_t first = runs->first[run];
            const uint32_t at = line * pitch + first * stride;
            smooth_line(from + at, to + at, runs->end[run] - first, stride);
        }
    }
}

uint32_t vad_padim_finish(const vad_padim_t *detector, vad_padim_state_t *state) {
    const uint32_t rows = detector->rows;
    const uint32_t cols = detector->cols;
    const uint32_t count = rows * cols;
    uint32_t *cells = (uint32_t *)(void *)state->totals;
    uint32_t *across = cells + count;
    if (state->cells == NULL) {
        take_roots(detector, state->totals, cells);
        smooth_runs(detector->across, rows, cols, 1, cells, across);
        smooth_runs(&detector->down, cols, 1, cols, across, cells);
        state->cells = cells;
    }
    uint32_t greatest = 0;
    for (uint32_t i = 0; i < count; i++) {
        greatest = cells[i] > greatest ? cells[i] : greatest;
    }
    return greatest;
}
