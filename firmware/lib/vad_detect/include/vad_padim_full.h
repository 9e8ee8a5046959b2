/* PaDiM with full covariance: Mahalanobis distances of the cells of the coarsest tap's grid.
 *
 * A cell's features are a linear map of the taps, summed over the cell's window. Its inverse
 * covariance is kept as regressions: what of a feature the features before it do not explain, in
 * units of how much that varies among normal images. The squares of these residuals add up to the
 * squared distance.
 *
 * A row of cells is scored as soon as all taps have covered it; until then the caller keeps what
 * the cells need of each tap: its own row, or the sums of its pixels over them. The numpy twin is
 * ref/padim_full.py. */
#ifndef VAD_PADIM_FULL_H
#define VAD_PADIM_FULL_H

#include <stdint.h>

#include "vad_runs.h"

#ifdef __cplusplus
extern "C" {
#endif

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
    uint32_t *cells; /* [rows][cols] scores, once all rows came */
    uint32_t score;
} vad_padim_full_state_t;

/* Starts an image. memory: 4 rows cols bytes, aligned to 4. */
void vad_padim_full_begin(const vad_padim_full_t *detector, uint8_t *memory,
                          vad_padim_full_state_t *state);

/* Sums the pixels of a tap over row y of cells. rows: `window` rows of the tap, int8
 * [cols * window][channels]. out: int16 [cols][channels], written where the runs are. */
void vad_padim_full_sums(const vad_padim_full_t *detector, uint32_t tap, uint32_t y,
                         const int8_t *const rows[], int16_t *out);

/* Scores row y of cells; rows ascend. rows: for each tap the row that `vad_padim_full_sums` made,
 * aligned to 2, or where its window is 1, its own. scratch: int16 [features + most channels of a
 * tap whose window is 1]. */
void vad_padim_full_cells(const vad_padim_full_t *detector, uint32_t y, const int8_t *const rows[],
                          int16_t *scratch, vad_padim_full_state_t *state);

/* The greatest cell score, once every row was scored; cells that do not count are 0. */
uint32_t vad_padim_full_score(const vad_padim_full_state_t *state);

#ifdef __cplusplus
}
#endif

#endif
