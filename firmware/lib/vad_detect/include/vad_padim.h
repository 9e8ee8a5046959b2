/* PaDiM with diagonal covariance: how far each cell's features are from those of good parts.
 *
 * Every tap is scored at its own resolution: its rows come in any order that keeps them ascending,
 * and what a coarse cell adds goes to all cells of the finest grid that it covers. The numpy twin
 * is ref/padim.py. */
#ifndef VAD_PADIM_H
#define VAD_PADIM_H

#include <stdint.h>

#include "vad_runs.h"

/* Fraction bits of the means. */
#define VAD_PADIM_MEAN_BITS 4

typedef struct {
    const int16_t *mean;      /* [cells that count][n_kept], int8 units * 2^VAD_PADIM_MEAN_BITS */
    const uint16_t *weight;   /* same shape: 1 / variance, one scale for all taps */
    const uint16_t *channels; /* [n_kept], ascending; those that are scored */
    vad_runs_t runs;          /* the cells that count, along rows */
    uint16_t rows;
    uint16_t cols;
    uint16_t n_channels; /* of the tap */
    uint16_t n_kept;     /* at most n_channels */
} vad_padim_tap_t;

typedef struct {
    const vad_padim_tap_t *taps;
    const vad_runs_t *across; /* the cells of the finest grid that count, along rows */
    vad_runs_t down;          /* the same along columns */
    uint16_t rows;            /* of the finest grid */
    uint16_t cols;
} vad_padim_t;

typedef struct {
    uint64_t *totals; /* [rows][cols] weighted squared distances */
    uint32_t *cells;  /* [rows][cols] in the same memory, once the image is complete */
    uint16_t row[8];  /* rows that came, by tap */
} vad_padim_state_t;

/* Most taps a detector may have: the length of vad_padim_state_t.row. */
#define VAD_PADIM_MAX_TAPS 8

/* Starts an image. memory: 8 * rows * cols bytes, aligned to 8. */
void vad_padim_begin(const vad_padim_t *detector, uint8_t *memory, vad_padim_state_t *state);

/* Takes the next row of a tap, int8 [cols][n_channels]. */
void vad_padim_row(const vad_padim_t *detector, uint32_t tap, const int8_t *row,
                   vad_padim_state_t *state);

/* Turns totals into cells, once every row of every tap came: square root, then a 5x5 binomial
 * smoothing within the runs, their ends repeated; cells that do not count are 0. Returns the
 * greatest cell; a second call does so again. */
uint32_t vad_padim_finish(const vad_padim_t *detector, vad_padim_state_t *state);

#endif
