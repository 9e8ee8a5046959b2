/* Scores one image's taps between the markers, and compares the cells with those expected.
 *
 * PLAIN: the markers are around the plain loop, which makes all tables of every patch and adds up
 * all look-ups of every row; the patches are made before. */
#include <string.h>

#include "bench_data.h"
#include "vad_patchcore_tables.h"
#include "vad_port.h"
#include "vad_pq_tables.h"
#include "vad_square_root.h"

static _Alignas(16) uint8_t memory[STATE_BYTES];
static vad_patchcore_state_t state;

static void feed(const vad_patchcore_t *detector) {
    uint32_t next[VAD_PATCHCORE_MAX_TAPS] = {0};
    vad_patchcore_begin(detector, memory, &state);
    for (uint32_t i = 0; i < N_ROWS; i++) {
        const uint32_t tap = bench_order[i];
        const vad_patch_t *patch = &detector->taps[tap].patch;
        const uint32_t row_bytes = (uint32_t)patch->width * patch->channels;
        vad_patchcore_row(detector, tap, bench_taps[tap] + next[tap]++ * row_bytes, &state);
    }
}

#if PLAIN
static uint32_t tables[PLAIN_TABLE_WORDS];
static uint32_t cells[N_CELLS];

static void find_nothing(const void *bank, uint32_t level, const int8_t *query,
                         const vad_patch_rows_t *in, uint32_t bound, int tighten, uint32_t *scratch,
                         vad_patch_rows_t *out) {
    (void)bank, (void)level, (void)query, (void)in, (void)bound, (void)tighten, (void)scratch;
    out->n = 1;
    out->row[0] = 0;
    out->partial[0] = 0;
}

static void load_query(uint32_t y, uint32_t x) {
    const vad_patchcore_level_t *finer = &vad_patchcore.levels[vad_patchcore.n_levels - 1];
    for (uint32_t i = vad_patchcore.n_levels; i-- > 0;) {
        const vad_patchcore_level_t *part = &vad_patchcore.levels[i];
        const uint32_t dims = (uint32_t)(part->end_dim - part->first_dim);
        y = y * part->rows / finer->rows;
        x = x * part->cols / finer->cols;
        memcpy(state.query + part->first_dim, state.maps[i] + (y * part->cols + x) * dims, dims);
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

static void search(void) {
    const vad_pq_bank_t *bank = &vad_patchcore_pq;
    const vad_patchcore_level_t *last = &vad_patchcore.levels[vad_patchcore.n_levels - 1];
    for (uint32_t i = 0; i < N_CELLS; i++) {
        uint32_t rest[VAD_PQ_MAX_GROUPS];
        uint32_t *table = tables;
        load_query(i / last->cols, i % last->cols);
        for (uint32_t level = 0; level < bank->n_levels; level++) {
            vad_pq_make_tables(bank, &bank->levels[level], state.query, table, rest);
            table += VAD_PQ_TABLE_WORDS(bank->levels[level].row_bytes);
        }
        cells[i] = vad_square_root((uint64_t)plain_nearest(bank) << (2 * VAD_PATCHCORE_SCORE_BITS));
    }
}
#else
#define cells state.cells
#endif

int main(void) {
    (void)vad_port_open();
#if PLAIN
    static const vad_patch_search_t nothing = {.scan = find_nothing, .distance = NULL};
    vad_patchcore_t patches_alone = vad_patchcore;
    patches_alone.search = &nothing;
    patches_alone.warm_start = 0;
    feed(&patches_alone);
    vad_port_region_begin();
    search();
#else
    vad_port_region_begin();
    feed(&vad_patchcore);
#endif
    vad_port_region_end();
    for (uint32_t i = 0; i < N_CELLS; i++) {
        if (cells[i] != bench_cells[i]) {
            return 5;
        }
    }
    return 0;
}
