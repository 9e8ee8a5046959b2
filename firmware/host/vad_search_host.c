/* PatchCore alone as a shared library that counts what its search looks at. */
#include "vad_patchcore_tables.h"
#include "vad_pq_counted.h"

uint64_t vad_pq_counted[VAD_PQ_N_COUNTED];

void vad_search_run(uint8_t *memory, const int8_t *const taps[], const uint8_t *order,
                    uint32_t n_rows, uint32_t *cells, uint64_t *counted);

/* memory: VAD_PATCHCORE_STATE_BYTES, aligned to 4. taps: all rows of each tap; order: the tap of
 * each row that comes. counted: [VAD_PQ_N_COUNTED], added up since the library was loaded. */
void vad_search_run(uint8_t *memory, const int8_t *const taps[], const uint8_t *order,
                    uint32_t n_rows, uint32_t *cells, uint64_t *counted) {
    vad_patchcore_state_t state;
    uint32_t next[VAD_PATCHCORE_MAX_TAPS] = {0};
    vad_patchcore_begin(&vad_patchcore, memory, &state);
    for (uint32_t i = 0; i < n_rows; i++) {
        const uint32_t tap = order[i];
        const vad_patch_t *patch = &vad_patchcore.taps[tap].patch;
        const uint32_t row_bytes = (uint32_t)patch->width * patch->channels;
        vad_patchcore_row(&vad_patchcore, tap, taps[tap] + next[tap]++ * row_bytes, &state);
    }
    const vad_patchcore_level_t *last = &vad_patchcore.levels[vad_patchcore.n_levels - 1];
    for (uint32_t i = 0; i < (uint32_t)last->rows * last->cols; i++) {
        cells[i] = state.cells[i];
    }
    for (uint32_t i = 0; i < VAD_PQ_N_COUNTED; i++) {
        counted[i] = vad_pq_counted[i];
    }
}
