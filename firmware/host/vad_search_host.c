/* PatchCore alone as a shared library that counts what its search looks at. */
#include "vad_patchcore_tables.h"
#include "vad_patchcore_whole.h"
#include "vad_pq_counted.h"

uint64_t vad_pq_counted[VAD_PQ_N_COUNTED];

void vad_search_run(const int8_t *const taps[], uint8_t *memory, uint8_t *scratch, int8_t *maps,
                    uint32_t *cells, uint64_t *counted);

/* taps, memory, scratch, maps: as for `vad_patchcore_whole`. cells: of the finest level. counted:
 * [VAD_PQ_N_COUNTED], added up since the library was loaded. */
void vad_search_run(const int8_t *const taps[], uint8_t *memory, uint8_t *scratch, int8_t *maps,
                    uint32_t *cells, uint64_t *counted) {
    vad_patchcore_state_t state;
    (void)vad_patchcore_whole(&vad_patchcore, taps, memory, scratch, maps, &state);
    const vad_patchcore_level_t *last = &vad_patchcore.levels[vad_patchcore.n_levels - 1];
    for (uint32_t i = 0; i < (uint32_t)last->rows * last->cols; i++) {
        cells[i] = state.cells[i];
    }
    for (uint32_t i = 0; i < VAD_PQ_N_COUNTED; i++) {
        counted[i] = vad_pq_counted[i];
    }
}
