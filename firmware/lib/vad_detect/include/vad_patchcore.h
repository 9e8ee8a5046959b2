/* PatchCore: the distance of every patch of an image from the nearest row of a memory bank.
 *
 * The taps' rows come in any order that keeps each tap's own rows ascending. Patches are kept until
 * a whole row of the coarsest level's cells is there; then its cells are searched. One coarse cell
 * covers several finer ones: what the coarse channels add to the distance is summed once for all of
 * them, and only rows that may still be nearest to one of them are looked at again. The result is
 * that of comparing every patch with every row, to the bit. */
#ifndef VAD_PATCHCORE_H
#define VAD_PATCHCORE_H

#include <stdint.h>

#include "vad_patch.h"
#include "vad_patch_search.h"
#include "vad_reweight.h"
#include "vad_rotate.h"
#include "vad_runs.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A cell's score is the distance times 2^VAD_PATCHCORE_SCORE_BITS, rounded down. */
#define VAD_PATCHCORE_SCORE_BITS 8

/* Most taps a detector may have. */
#define VAD_PATCHCORE_MAX_TAPS 8

/* The channels of one resolution. Levels go from the coarsest to the finest. */
typedef struct {
    uint16_t rows, cols;         /* cells */
    uint16_t first_dim, end_dim; /* of the feature vector */
    vad_runs_t runs;             /* the cells that count, or cover one that does, along rows */
} vad_patchcore_level_t;

/* One tap: its patches, and where they go. */
typedef struct {
    vad_patch_t patch; /* patch.pitch: dimensions of the level */
    uint16_t level;
    uint16_t first_dim; /* within the level */
} vad_patchcore_tap_t;

typedef struct {
    uint16_t n_taps;   /* at most VAD_PATCHCORE_MAX_TAPS */
    uint16_t n_levels; /* at most VAD_PATCH_MAX_LEVELS */
    uint16_t n_codes;
    uint16_t warm_start;  /* whether distances bound the search, from the neighbours' rows on */
    uint32_t table_words; /* scratch of the search */
    vad_patchcore_tap_t taps[VAD_PATCHCORE_MAX_TAPS]; /* in the order of the model's outputs */
    vad_patchcore_level_t levels[VAD_PATCH_MAX_LEVELS];
    const vad_rotation_t *rotations; /* [n_levels], or NULL: patches stay as they are */
    const vad_patch_search_t *search;
    const void *bank;
    const vad_reweight_t *reweight; /* of the image score, or NULL */
} vad_patchcore_t;

typedef struct {
    uint32_t *cells;   /* [rows][cols] of the finest level: scores; squared bounds before */
    uint16_t *nearest; /* the nearest rows, same shape */
    uint32_t *tables;
    int8_t *query;
    int8_t *maps[VAD_PATCH_MAX_LEVELS];    /* [rows][cols][dims of the level] */
    int8_t *rings[VAD_PATCHCORE_MAX_TAPS]; /* the last `window` rows of a tap */
    vad_patch_rows_t kept[VAD_PATCH_MAX_LEVELS];
    uint32_t tap_rows[VAD_PATCHCORE_MAX_TAPS];   /* rows that came */
    uint32_t patch_rows[VAD_PATCHCORE_MAX_TAPS]; /* rows of patches made */
    uint32_t level_rows[VAD_PATCH_MAX_LEVELS];   /* rows of the maps that are ready to search */
    uint32_t searched;                           /* rows of the first level */
} vad_patchcore_state_t;

/* Starts an image. memory: VAD_PATCHCORE_STATE_BYTES of the generated tables, aligned to 4. */
void vad_patchcore_begin(const vad_patchcore_t *detector, uint8_t *memory,
                         vad_patchcore_state_t *state);

/* Takes the next row of a tap, int8 [width][channels]; searches the cells that are now complete. */
void vad_patchcore_row(const vad_patchcore_t *detector, uint32_t tap, const int8_t *row,
                       vad_patchcore_state_t *state);

/* The greatest cell, once every row of every tap came; cells that do not count are 0. */
uint32_t vad_patchcore_score(const vad_patchcore_t *detector, const vad_patchcore_state_t *state);

#ifdef __cplusplus
}
#endif

#endif
