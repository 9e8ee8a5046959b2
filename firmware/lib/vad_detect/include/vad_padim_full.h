/* PaDiM with full covariance: Mahalanobis distances of the cells of the coarsest tap's grid.
 *
 * A cell's features are a linear map of the taps, summed over the cell's window. Its inverse
 * covariance is kept as regressions: what of a feature the features before it do not explain, in
 * units of how much that varies among normal images. The squares of these residuals add up to the
 * squared distance.
 *
 * The taps' rows come in any order that keeps each tap's own rows ascending; a row of cells is
 * scored as soon as all taps have covered it. The numpy twin is ref/padim_full.py. */
#ifndef VAD_PADIM_FULL_H
#define VAD_PADIM_FULL_H

#include <stdint.h>

#include "vad_runs.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Most taps a detector may have. */
#define VAD_PADIM_FULL_MAX_TAPS 8

/* One tap's part of the features: clamp((bias + window sums * weight) >> shift), the limit being
 * 32767 / n_taps. For every feature |bias| + 128 window^2 sum |weight| < 2^31. */
typedef struct {
    const int16_t *weight; /* [channels][features] */
    const int32_t *bias;   /* [features] */
    uint16_t channels;
    uint8_t window; /* tap pixels of a cell along each axis, 1 to 15 */
    uint8_t shift;  /* 1 to 30 */
} vad_padim_full_tap_t;

typedef struct {
    const vad_padim_full_tap_t *taps;
    vad_runs_t across; /* the cells that count, along rows */
    vad_runs_t down;   /* the same along columns */
    uint16_t n_taps;
    uint16_t n_cells;     /* that count */
    uint16_t rows, cols;  /* of the grid */
    uint16_t features;    /* of a cell, a multiple of 4, at most 512 */
    uint16_t scale_shift; /* 1 to 47 */
    const int16_t *mean;  /* [n_cells][features] */
    /* [n_cells][features (features - 1) / 2], -127 to 127, steps of 2^-shift. Features come in
     * blocks of four: the four coefficients of each feature before the block, then, inside it,
     * those of feature 1 on 0, of 2 on 0 and 1, of 3 on 0, 1 and 2. */
    const int8_t *lower;
    const uint8_t *shift;  /* [n_cells], 0 to 7 */
    const uint16_t *scale; /* [n_cells][features] */
} vad_padim_full_t;

typedef struct {
    uint32_t *cells;                            /* [rows][cols] scores, once all rows came */
    int16_t *features;                          /* [n_cells][features] */
    int16_t *sums[VAD_PADIM_FULL_MAX_TAPS];     /* [cols][channels] of the rows of a window */
    uint16_t tap_rows[VAD_PADIM_FULL_MAX_TAPS]; /* rows that came */
    uint32_t scored;                            /* rows of cells */
    uint32_t score;
} vad_padim_full_state_t;

/* Starts an image. memory: 4 rows cols + 2 n_cells features + 2 cols (sum of channels) bytes,
 * aligned to 4. */
void vad_padim_full_begin(const vad_padim_full_t *detector, uint8_t *memory,
                          vad_padim_full_state_t *state);

/* Takes the next row of a tap, int8 [cols * window][channels]. */
void vad_padim_full_row(const vad_padim_full_t *detector, uint32_t tap, const int8_t *row,
                        vad_padim_full_state_t *state);

/* The greatest cell score, once every row of every tap came; cells that do not count are 0. */
uint32_t vad_padim_full_score(const vad_padim_full_state_t *state);

#ifdef __cplusplus
}
#endif

#endif
