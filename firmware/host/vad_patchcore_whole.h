/* PatchCore on taps that are whole, for programs without a plan: all patches are kept. */
#ifndef VAD_PATCHCORE_WHOLE_H
#define VAD_PATCHCORE_WHOLE_H

#include <stddef.h>

#include "vad_patchcore.h"

/* Rows that the search gets at most. */
#define VAD_PATCHCORE_WHOLE_ROWS 256

/* Makes the patches of every tap, one tap after another.
 * taps: int8 [height][width][channels] each. maps: for each tap a byte a value that its patches are
 * made of, [rows][cols][patch.pitch]; made: where each level's lie. */
static inline void vad_patchcore_whole_patches(const vad_patchcore_t *detector,
                                               const int8_t *const taps[], uint8_t *scratch,
                                               int8_t *maps,
                                               const int8_t *made[VAD_PATCH_MAX_LEVELS]) {
    for (uint32_t tap = 0; tap < detector->n_taps; tap++) {
        const uint32_t level = detector->taps[tap].level;
        const vad_patch_t *patch = &detector->taps[tap].patch;
        const size_t row_bytes = (size_t)patch->cols * patch->pitch;
        for (uint32_t y = 0; y < patch->rows; y++, maps += row_bytes) {
            const int8_t *rows[VAD_PATCH_MAX_WINDOW + 1];
            for (int32_t i = 0; i < patch->window; i++) {
                const int32_t at = (int32_t)y * patch->stride - 1 + i;
                const int is_inside = at >= 0 && at < patch->height;
                rows[i] =
                    is_inside ? taps[tap] + (size_t)at * patch->width * patch->channels : NULL;
            }
            rows[patch->window] =
                detector->taps[tap].first_dim > 0
                    ? made[level] + (size_t)y * patch->cols * detector->taps[tap].first_dim
                    : NULL;
            vad_patchcore_patches(detector, tap, y, rows, (int8_t *)scratch, maps);
        }
        made[level] = maps - patch->rows * row_bytes;
    }
}

/* The rows that the search of row y of the first level gets, at most VAD_PATCHCORE_WHOLE_ROWS. */
static inline void vad_patchcore_whole_rows(const vad_patchcore_t *detector, uint32_t y,
                                            const int8_t *const made[], const int8_t *rows[]) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < detector->n_levels; i++) {
        const vad_patchcore_level_t *level = &detector->levels[i];
        const uint32_t above = detector->levels[0].rows;
        const uint32_t first = (y * level->rows + above - 1) / above;
        const size_t row_bytes = (size_t)level->cols * (size_t)(level->end_dim - level->first_dim);
        for (uint32_t at = first; at < first + level->window; at++) {
            rows[n++] = at < level->rows ? made[i] + at * row_bytes : NULL;
        }
    }
}

/* Searches one row of the first level. */
static inline void vad_patchcore_whole_search(const vad_patchcore_t *detector, uint32_t y,
                                              const int8_t *const made[], uint8_t *scratch,
                                              vad_patchcore_state_t *state) {
    const int8_t *rows[VAD_PATCHCORE_WHOLE_ROWS];
    vad_patchcore_whole_rows(detector, y, made, rows);
    vad_patchcore_search(detector, y, rows, scratch, state);
}

/* The score of an image. memory, scratch: as `vad_patchcore_begin` and `vad_patchcore_search` want
 * them; maps: as above. */
static inline uint32_t vad_patchcore_whole(const vad_patchcore_t *detector,
                                           const int8_t *const taps[], uint8_t *memory,
                                           uint8_t *scratch, int8_t *maps,
                                           vad_patchcore_state_t *state) {
    const int8_t *made[VAD_PATCH_MAX_LEVELS] = {NULL};
    vad_patchcore_begin(detector, memory, state);
    vad_patchcore_whole_patches(detector, taps, scratch, maps, made);
    for (uint32_t y = 0; y < detector->levels[0].rows; y++) {
        vad_patchcore_whole_search(detector, y, made, scratch, state);
    }
    return vad_patchcore_score(detector, state);
}

#endif
