/* CFA: how far the descriptor of each cell lies from the centres of a bank of good parts.
 *
 * A descriptor is a 1x1 convolution of a cell's patches, PatchCore's, and of its place. The three
 * nearest centres are found exactly; the least distance is weighted by its softmin, and the cells
 * are smoothed. Weights come level by level: what the patches of a coarse cell add is summed once
 * for the finer cells that it covers. ref/cfa.py has the exact definition. */
#ifndef VAD_CFA_H
#define VAD_CFA_H

#include <stdint.h>

#include "vad_patchcore.h"
#include "vad_reweight.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Centres that a cell is compared with in the end. */
#define VAD_CFA_NEAREST 3u

typedef struct {
    const vad_patchcore_t *patches; /* taps, levels, runs; for vad_patchcore_patches, too */
    const int8_t *weights;          /* [dims][end_dim of the finest level] */
    const int32_t *bias;            /* [dims], at most 2^29 in magnitude */
    const int16_t *places;          /* [dims][2]: of 2 y - rows + 1 and 2 x - cols + 1 */
    const int8_t *centres;          /* [n_centres][dims] */
    uint16_t dims;
    uint16_t n_centres; /* at least VAD_CFA_NEAREST */
    uint16_t shift;     /* at most 30 */
    vad_reweight_t weigh;
} vad_cfa_t;

typedef struct {
    uint32_t *cells; /* [rows][cols] of the finest level */
    uint32_t score;
    uint32_t n_nearest;                /* 0 before the first cell */
    uint16_t nearest[VAD_CFA_NEAREST]; /* centres of the last cell */
} vad_cfa_state_t;

/* Starts an image. memory: 4 bytes a cell of the finest level, aligned to 4. */
void vad_cfa_begin(const vad_cfa_t *detector, uint8_t *memory, vad_cfa_state_t *state);

/* Scores the cells under row y of the first level; rows ascend, and behind the last the cells are
 * smoothed. rows: as vad_patchcore_search takes them. scratch: 4 bytes for each of the dims and
 * each level, then one each, aligned to 4. */
void vad_cfa_search(const vad_cfa_t *detector, uint32_t y, const int8_t *const rows[],
                    uint8_t *scratch, vad_cfa_state_t *state);

/* The greatest cell, once every row was scored; cells that do not count are 0. */
uint32_t vad_cfa_score(const vad_cfa_state_t *state);

#ifdef __cplusplus
}
#endif

#endif
