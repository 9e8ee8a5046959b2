/* PatchCore as a shared library that takes a bank as data and counts what its search looks at. */
#include <string.h>

#include "vad_flat_search.h"
#include "vad_patchcore_whole.h"
#include "vad_pq_counted.h"
#include "vad_pqnn_search.h"

uint64_t vad_pq_counted[VAD_PQ_N_COUNTED];

/* Of the structures that the caller fills; build/search.py mirrors them. */
extern const uint32_t vad_search_sizes[];
const uint32_t vad_search_sizes[] = {
    sizeof(vad_patchcore_t), sizeof(vad_rotation_t), sizeof(vad_reweight_t),
    sizeof(vad_flat_bank_t), sizeof(vad_pq_bank_t),  sizeof(vad_pqnn_bank_t),
};

void vad_search_run(const vad_patchcore_t *detector, const int8_t *const taps[], uint8_t *memory,
                    uint8_t *scratch, int8_t *maps, uint32_t *cells, uint64_t *counted);

/* taps, memory, scratch, maps: as for `vad_patchcore_whole`. cells: of the finest level. counted:
 * [VAD_PQ_N_COUNTED], to which the image's counts are added. */
void vad_search_run(const vad_patchcore_t *detector, const int8_t *const taps[], uint8_t *memory,
                    uint8_t *scratch, int8_t *maps, uint32_t *cells, uint64_t *counted) {
    vad_patchcore_state_t state;
    memset(vad_pq_counted, 0, sizeof(vad_pq_counted));
    (void)vad_patchcore_whole(detector, taps, memory, scratch, maps, &state);
    const vad_patchcore_level_t *last = &detector->levels[detector->n_levels - 1];
    for (uint32_t i = 0; i < (uint32_t)last->rows * last->cols; i++) {
        cells[i] = state.cells[i];
    }
    for (uint32_t i = 0; i < VAD_PQ_N_COUNTED; i++) {
        counted[i] += vad_pq_counted[i];
    }
}
