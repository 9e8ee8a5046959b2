/* Scores one image's taps between the markers, and compares the cells with those expected.
 *
 * PLAIN: the markers are around the plain loop, which makes all tables of every patch and adds up
 * all look-ups of every row; the patches are made before. */
#include <string.h>

#include "bench_data.h"
#include "vad_patchcore_tables.h"
#include "vad_patchcore_whole.h"
#include "vad_port.h"
#include "vad_pq_tables.h"
#include "vad_smooth.h"
#include "vad_square_root.h"

#if !PLAIN
static _Alignas(16) uint8_t memory[STATE_BYTES];
#endif
static _Alignas(16) uint8_t scratch[SCRATCH_BYTES];
static int8_t maps[MAPS_BYTES];

#if PLAIN
static uint32_t tables[PLAIN_TABLE_WORDS];
static uint32_t cells[N_CELLS];

static int8_t query[N_DIMS];

static void load_query(const int8_t *const made[], uint32_t y, uint32_t x) {
    const vad_patchcore_level_t *finer = &vad_patchcore.levels[vad_patchcore.n_levels - 1];
    for (uint32_t i = vad_patchcore.n_levels; i-- > 0;) {
        const vad_patchcore_level_t *part = &vad_patchcore.levels[i];
        const uint32_t dims = (uint32_t)(part->end_dim - part->first_dim);
        y = y * part->rows / finer->rows;
        x = x * part->cols / finer->cols;
        memcpy(query + part->first_dim, made[i] + (y * part->cols + x) * dims, dims);
        finer = part;
    }
}

__attribute__((noinline)) static uint32_t plain_nearest(const vad_pq_bank_t *bank) {
    uint32_t nearest = UINT32_MAX;
    for (uint32_t row = 0; row < bank->n_codes; row++) {
        const uint32_t *table = tables;
        uint32_t sum = 0;
        for (uint32_t i = 0; i < bank->n_levels; i++) {
            const vad_pq_level_t *level = &bank->levels[i];
            const uint8_t *code = level->codes + row * level->row_bytes;
            for (uint32_t m = 0; m < level->row_bytes; m++, table += 256) {
                sum += table[code[m]];
            }
        }
        nearest = sum < nearest ? sum : nearest;
    }
    return nearest;
}

static void search(const int8_t *const made[]) {
    const vad_pq_bank_t *bank = &vad_patchcore_pq;
    const vad_patchcore_level_t *last = &vad_patchcore.levels[vad_patchcore.n_levels - 1];
    for (uint32_t i = 0; i < N_CELLS; i++) {
        uint32_t rest[VAD_PQ_MAX_GROUPS];
        uint32_t *table = tables;
        load_query(made, i / last->cols, i % last->cols);
        for (uint32_t level = 0; level < bank->n_levels; level++) {
            vad_pq_make_tables(bank, &bank->levels[level], query, table, rest);
            table += VAD_PQ_TABLE_WORDS(bank->levels[level].row_bytes);
        }
        cells[i] = vad_square_root((uint64_t)plain_nearest(bank) << (2 * VAD_PATCHCORE_SCORE_BITS));
    }
    (void)vad_smooth(&last->runs, &vad_patchcore.down, last->rows, last->cols, cells);
}
#else
static vad_patchcore_state_t state;
#define cells state.cells
#endif

int main(void) {
    (void)vad_port_open();
#if PLAIN
    const int8_t *made[VAD_PATCH_MAX_LEVELS];
    vad_patchcore_whole_patches(&vad_patchcore, bench_taps, scratch, maps, made);
    vad_port_region_begin();
    search(made);
#else
    vad_port_region_begin();
    (void)vad_patchcore_whole(&vad_patchcore, bench_taps, memory, scratch, maps, &state);
#endif
    vad_port_region_end();
    for (uint32_t i = 0; i < N_CELLS; i++) {
        if (cells[i] != bench_cells[i]) {
            return 5;
        }
    }
    return 0;
}
