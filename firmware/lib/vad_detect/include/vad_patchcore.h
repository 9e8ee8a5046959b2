/* PatchCore: the distance of every patch of an image from the nearest row of a memory bank.
 *
 * A row of a tap's patches is made as soon as the tap's rows are there. When a row of the coarsest
 * level's cells is there, and of each finer level the rows that it covers, its cells are searched;
 * the caller keeps the patches until then. One coarse cell covers several finer ones: what the
 * coarse channels add to the distance is summed once for all of them, and only rows that may still
 * be nearest to one of them are looked at again. The result is that of comparing every patch with
 * every row, to the bit. */
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

/* A distance is times 2^VAD_PATCHCORE_SCORE_BITS, rounded down; a cell's score is 16 times their
 * mean around it (vad_smooth.h). */
#define VAD_PATCHCORE_SCORE_BITS 8

/* Most taps a detector may have. */
#define VAD_PATCHCORE_MAX_TAPS 8

/* The channels of one resolution. Levels go from the coarsest to the finest. */
typedef struct {
    uint16_t rows, cols;         /* cells */
    uint16_t first_dim, end_dim; /* of the feature vector */
    uint16_t window;             /* rows that a search gets */
    vad_runs_t runs;             /* the cells that count, or cover one that does, along rows */
} vad_patchcore_level_t;

/* One tap: its patches, and where they go. */
typedef struct {
    vad_patch_t patch; /* patch.pitch: first_dim + patch.channels */
    uint16_t level;
    uint16_t first_dim; /* within the level: channels of its taps before this one */
} vad_patchcore_tap_t;

typedef struct {
    uint16_t n_taps;   /* at most VAD_PATCHCORE_MAX_TAPS */
    uint16_t n_levels; /* at most VAD_PATCH_MAX_LEVELS */
    uint16_t n_codes;
    uint16_t warm_start;  /* whether distances bound the search, from the neighbours' rows on */
    uint32_t table_words; /* that `search` asks for */
    vad_patchcore_tap_t taps[VAD_PATCHCORE_MAX_TAPS]; /* in the order of the model's outputs */
    vad_patchcore_level_t levels[VAD_PATCH_MAX_LEVELS];
    vad_runs_t down;                 /* the cells of the finest level that count, along columns */
    const vad_rotation_t *rotations; /* [n_levels], or NULL: patches stay as they are */
    const vad_patch_search_t *search;
    const void *bank;
    const vad_reweight_t *reweight; /* of the image score, or NULL */
} vad_patchcore_t;

typedef struct {
    uint32_t *cells;   /* [rows][cols] of the finest level: scores, once every row was searched;
                          distances before, squared bounds before these */
    uint16_t *nearest; /* the nearest rows, same shape */
    uint32_t score;    /* of the greatest cell; with `reweight` the greatest distance before */
    /* With `reweight`: */
    uint32_t greatest;      /* the cell of the greatest distance, of equals the first */
    int8_t *greatest_query; /* [dims] */
    int8_t *decoded;        /* [dims] */
    /* While a row is searched: */
    const int8_t *const *rows[VAD_PATCH_MAX_LEVELS]; /* of each level, [cols][dims of the level] */
    uint32_t first_row[VAD_PATCH_MAX_LEVELS];        /* which rows[level][0] is */
    uint32_t *tables;
    int8_t *query;
    vad_patch_rows_t kept[VAD_PATCH_MAX_LEVELS];
} vad_patchcore_state_t;

/* Starts an image. memory: 6 bytes a cell of the finest level, and with `reweight` 2 a dimension,
 * aligned to 4. */
void vad_patchcore_begin(const vad_patchcore_t *detector, uint8_t *memory,
                         vad_patchcore_state_t *state);

/* Makes row y of a tap's patches, behind those of the level's taps before it.
 * rows[0 .. window - 1]: the tap's rows from y * stride - 1 on, int8 [width][channels], NULL
 * outside it; rows[window], unless first_dim is 0: the row that the tap before it made. scratch:
 * int8 [patch.pitch] where there are rotations. out: int8 [cols][patch.pitch], written where the
 * level's runs are. */
void vad_patchcore_patches(const vad_patchcore_t *detector, uint32_t tap, uint32_t y,
                           const int8_t *const rows[], int8_t *scratch, int8_t *out);

/* Searches row y of the first level's cells, and all finer ones that it covers; rows ascend.
 * rows: level by level `window` rows that its last tap made, from row
 * ceil(y * rows of the level / rows of the first level) on; those past the last may be NULL.
 * scratch: table_words and, for each row of the bank and level but the last, one more word and a
 * half, for that level the same for one row; then a byte a dimension; aligned to 4. */
void vad_patchcore_search(const vad_patchcore_t *detector, uint32_t y, const int8_t *const rows[],
                          uint8_t *scratch, vad_patchcore_state_t *state);

/* The greatest cell, with `reweight` less its share, once every row was searched; cells that do not
 * count are 0. */
uint32_t vad_patchcore_score(const vad_patchcore_t *detector, const vad_patchcore_state_t *state);

#ifdef __cplusplus
}
#endif

#endif
