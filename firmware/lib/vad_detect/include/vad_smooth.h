/* Light smoothing of the cells of an image; the numpy twin is ref/smooth.py. */
#ifndef VAD_SMOOTH_H
#define VAD_SMOOTH_H

#include <stdint.h>

#include "vad_runs.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Weights 1-2-1 along the runs of rows, then of columns, ends repeated: 16 times the mean.
 * cells: [rows][cols], each below 2^28, 0 where it does not count; smoothed in place.
 * Returns the greatest. */
uint32_t vad_smooth(const vad_runs_t *across, const vad_runs_t *down, uint32_t rows, uint32_t cols,
                    uint32_t *cells);

#ifdef __cplusplus
}
#endif

#endif
