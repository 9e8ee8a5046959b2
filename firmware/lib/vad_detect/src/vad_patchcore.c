#include "vad_patchcore.h"

#include <stddef.h>
#include <string.h>

#include "vad_covered.h"
#include "vad_smooth.h"
#include "vad_square_root.h"

/* A distance is at most 65536 * 254^2 < 2^32 - 1: this one is above all, and one more still fits.
 */
#define FAR (UINT32_MAX - 1u)

/* The cells of a rectangle that count, and the one that it is at. */
typedef struct {
    const vad_runs_t *runs;
    uint32_t y, first_y, end_y;
    uint32_t x, first_x, end_x;
} cursor_t;

static uint32_t level_dims(const vad_patchcore_level_t *level) {
    return (uint32_t)(level->end_dim - level->first_dim);
}

static const vad_patchcore_level_t *finest(const vad_patchcore_t *detector) {
    return &detector->levels[detector->n_levels - 1];
}

static uint32_t n_cells(const vad_patchcore_level_t *level) {
    return (uint32_t)level->rows * level->cols;
}

/* Goes on to the next cell that counts, from this one on. */
static void settle(cursor_t *cells) {
    for (; cells->y < cells->end_y; cells->y++, cells->x = cells->first_x) {
        for (; cells->x < cells->end_x; cells->x++) {
            if (vad_runs_have(cells->runs, cells->y, cells->x)) {
                return;
            }
        }
    }
}

static void advance(cursor_t *cells) {
    cells->x++;
    settle(cells);
}

/* The cells of level `to` under cell (y, x) of level `from`, level by level. */
static cursor_t covered(const vad_patchcore_t *detector, uint32_t from, uint32_t y, uint32_t x,
                        uint32_t to) {
    cursor_t cells = {.first_y = y, .end_y = y + 1, .first_x = x, .end_x = x + 1};
    for (; from < to; from++) {
        const vad_patchcore_level_t *coarse = &detector->levels[from];
        const vad_patchcore_level_t *fine = &detector->levels[from + 1];
        cells.first_y = vad_first_covered(cells.first_y, coarse->rows, fine->rows);
        cells.end_y = vad_first_covered(cells.end_y, coarse->rows, fine->rows);
        cells.first_x = vad_first_covered(cells.first_x, coarse->cols, fine->cols);
        cells.end_x = vad_first_covered(cells.end_x, coarse->cols, fine->cols);
    }
    cells.runs = &detector->levels[to].runs;
    cells.y = cells.first_y;
    cells.x = cells.first_x;
    settle(&cells);
    return cells;
}

/* Copies the features of levels `level` and finer at the finest cell (y, x) into the query. The
 * last level ends the loop inside: with `i-- > level` in its head, GCC 12's ivopts addresses
 * `rows[i]` from a null base, its next pass takes the function for one without effect, and the
 * calls are left out (x86-64, from -O1 on; not with -fno-ivopts). */
static void load_query(const vad_patchcore_t *detector, uint32_t level, uint32_t y, uint32_t x,
                       const vad_patchcore_state_t *state) {
    const vad_patchcore_level_t *finer = finest(detector);
    for (uint32_t i = detector->n_levels - 1u;; i--) {
        const vad_patchcore_level_t *part = &detector->levels[i];
        const uint32_t dims = level_dims(part);
        y = y * part->rows / finer->rows;
        x = x * part->cols / finer->cols;
        memcpy(state->query + part->first_dim,
               state->rows[i][y - state->first_row[i]] + (size_t)x * dims, dims);
        if (i == level) {
            return;
        }
        finer = part;
    }
}

/* The nearest row of the cell left of the rectangle, or above it; NULL where neither counts. */
static const uint16_t *neighbour(const cursor_t *at, uint32_t cols,
                                 const vad_patchcore_state_t *state) {
    if (at->first_x > 0 && vad_runs_have(at->runs, at->y, at->first_x - 1)) {
        return &state->nearest[at->y * cols + at->first_x - 1];
    }
    if (at->first_y > 0 && vad_runs_have(at->runs, at->first_y - 1, at->x)) {
        return &state->nearest[(at->first_y - 1) * cols + at->x];
    }
    return NULL;
}

/* Bounds the cells under `at` by the distance to the nearest row of a neighbour of their rectangle;
 * returns the greatest bound. */
static uint32_t warm_start(const vad_patchcore_t *detector, const cursor_t *cells,
                           vad_patchcore_state_t *state) {
    const uint32_t cols = finest(detector)->cols;
    uint32_t greatest = 0;
    for (cursor_t at = *cells; at.y < at.end_y; advance(&at)) {
        const uint16_t *row = detector->warm_start ? neighbour(&at, cols, state) : NULL;
        uint32_t *best = &state->cells[at.y * cols + at.x];
        *best = FAR;
        if (row != NULL) {
            load_query(detector, 0, at.y, at.x, state);
            *best = detector->search->distance(detector->bank, 0, state->query, *row);
        }
        greatest = *best > greatest ? *best : greatest;
    }
    return greatest;
}

/* Bounds the cells by their distance to one row, whose `partial` sum up to `level` is known. */
static void bound_cells(const vad_patchcore_t *detector, const cursor_t *cells, uint32_t level,
                        uint32_t row, uint32_t partial, vad_patchcore_state_t *state) {
    const uint32_t cols = finest(detector)->cols;
    for (cursor_t at = *cells; at.y < at.end_y; advance(&at)) {
        load_query(detector, level + 1, at.y, at.x, state);
        const uint32_t d =
            partial + detector->search->distance(detector->bank, level + 1, state->query, row);
        uint32_t *best = &state->cells[at.y * cols + at.x];
        *best = d < *best ? d : *best;
    }
}

static uint32_t greatest_bound(const cursor_t *cells, uint32_t cols,
                               const vad_patchcore_state_t *state) {
    uint32_t greatest = 0;
    for (cursor_t at = *cells; at.y < at.end_y; advance(&at)) {
        const uint32_t best = state->cells[at.y * cols + at.x];
        greatest = best > greatest ? best : greatest;
    }
    return greatest;
}

/* Index into `kept` of the row with the least sum so far. */
static uint32_t least(const vad_patch_rows_t *kept) {
    uint32_t at = 0;
    for (uint32_t i = 1; i < kept->n; i++) {
        at = kept->partial[i] < kept->partial[at] ? i : at;
    }
    return at;
}

/* A squared distance is below 2^32, so its root with 8 fractional bits is below 2^24. */
static uint32_t cell_score(uint32_t squared) {
    return vad_square_root((uint64_t)squared << (2 * VAD_PATCHCORE_SCORE_BITS));
}

/* Drops the rows whose sum is above the bound. */
static void drop_beyond(uint32_t bound, vad_patch_rows_t *kept) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < kept->n; i++) {
        if (kept->partial[i] <= bound) {
            kept->row[n] = kept->row[i];
            kept->partial[n] = kept->partial[i];
            n++;
        }
    }
    kept->n = n;
}

/* Remembers the greatest cell, of equals the first, and its query. */
static void remember(const vad_patchcore_t *detector, uint32_t cell, vad_patchcore_state_t *state) {
    const uint32_t score = state->cells[cell];
    if (score < state->score || (score == state->score && cell > state->greatest)) {
        return;
    }
    state->score = score;
    state->greatest = cell;
    memcpy(state->greatest_query, state->query, finest(detector)->end_dim);
}

/* Narrows the rows that the level above kept to those that may be nearest below the cell (y, x) of
 * this level; at the finest level, to the nearest. */
static void search_cell(const vad_patchcore_t *detector, uint32_t level, uint32_t y, uint32_t x,
                        vad_patchcore_state_t *state) {
    const vad_patchcore_level_t *last = finest(detector);
    const cursor_t cells = covered(detector, level, y, x, detector->n_levels - 1u);
    const int is_last = level + 1 == detector->n_levels;
    const vad_patch_rows_t *in = level == 0 ? NULL : &state->kept[level - 1];
    vad_patch_rows_t *kept = &state->kept[level];
    /* The nearest row is at most as far as the bound, so it stays strictly below bound + 1. */
    const uint32_t bound = level == 0 ? warm_start(detector, &cells, state)
                                      : greatest_bound(&cells, last->cols, state);
    load_query(detector, 0, cells.y, cells.x, state);
    detector->search->scan(detector->bank, level, state->query, in, bound + 1, is_last,
                           state->tables, kept);
    if (is_last) {
        const uint32_t cell = cells.y * last->cols + cells.x;
        state->cells[cell] = cell_score(kept->partial[0]);
        state->nearest[cell] = kept->row[0];
        if (detector->reweight != NULL) {
            remember(detector, cell, state);
        }
    } else if (detector->warm_start) {
        const uint32_t i = least(kept);
        bound_cells(detector, &cells, level, kept->row[i], kept->partial[i], state);
        drop_beyond(greatest_bound(&cells, last->cols, state), kept);
    }
}

/* Searches the first level's row `y` and every finer cell that it covers. */
static void search_row(const vad_patchcore_t *detector, uint32_t y, vad_patchcore_state_t *state) {
    cursor_t at[VAD_PATCH_MAX_LEVELS];
    uint32_t level = 0;
    at[0] = (cursor_t){.runs = &detector->levels[0].runs,
                       .y = y,
                       .first_y = y,
                       .end_y = y + 1,
                       .end_x = detector->levels[0].cols};
    settle(&at[0]);
    for (;;) {
        cursor_t *cells = &at[level];
        if (cells->y == cells->end_y) {
            if (level == 0) {
                return;
            }
            advance(&at[--level]);
            continue;
        }
        search_cell(detector, level, cells->y, cells->x, state);
        if (level + 1 == detector->n_levels) {
            advance(cells);
        } else {
            at[level + 1] = covered(detector, level, cells->y, cells->x, level + 1);
            level++;
        }
    }
}

/* Rows that a level's list must hold: the finest level keeps the nearest alone. */
static size_t n_kept(const vad_patchcore_t *detector, uint32_t level) {
    return level + 1 == detector->n_levels ? 1 : detector->n_codes;
}

static void *take(uint8_t **memory, size_t bytes) {
    void *taken = *memory;
    *memory += bytes;
    return taken;
}

void vad_patchcore_begin(const vad_patchcore_t *detector, uint8_t *memory,
                         vad_patchcore_state_t *state) {
    const uint32_t cells = n_cells(finest(detector));
    const uint32_t dims = finest(detector)->end_dim;
    memset(state, 0, sizeof *state);
    state->greatest = cells;
    state->cells = take(&memory, cells * sizeof(uint32_t));
    memset(state->cells, 0, cells * sizeof(uint32_t));
    state->nearest = take(&memory, cells * sizeof(uint16_t));
    if (detector->reweight != NULL) {
        state->greatest_query = take(&memory, dims);
        state->decoded = take(&memory, dims);
    }
}

void vad_patchcore_patches(const vad_patchcore_t *detector, uint32_t tap, uint32_t y,
                           const int8_t *const rows[], int8_t *scratch, int8_t *out) {
    const vad_patchcore_tap_t *from = &detector->taps[tap];
    const vad_patchcore_level_t *level = &detector->levels[from->level];
    const vad_patch_t *patch = &from->patch;
    const uint32_t pitch = patch->pitch;
    const int is_turned = detector->rotations != NULL && pitch == level_dims(level);
    for (uint32_t run = level->runs.start[y]; run < level->runs.start[y + 1]; run++) {
        const uint32_t first = level->runs.first[run];
        const uint32_t end = level->runs.end[run];
        vad_patch_row(patch, rows, first, end, out + from->first_dim);
        for (uint32_t x = first; x < end && from->first_dim > 0; x++) {
            memcpy(out + (size_t)x * pitch, rows[patch->window] + (size_t)x * from->first_dim,
                   from->first_dim);
        }
        for (uint32_t x = first; x < end && is_turned; x++) {
            vad_rotate(&detector->rotations[from->level], pitch, scratch, out + (size_t)x * pitch);
        }
    }
}

/* Cuts the scratch into the search's buffers. */
static void lay_out(const vad_patchcore_t *detector, uint8_t *scratch,
                    vad_patchcore_state_t *state) {
    state->tables = take(&scratch, detector->table_words * sizeof(uint32_t));
    for (uint32_t i = 0; i < detector->n_levels; i++) {
        state->kept[i].partial = take(&scratch, n_kept(detector, i) * sizeof(uint32_t));
    }
    for (uint32_t i = 0; i < detector->n_levels; i++) {
        state->kept[i].row = take(&scratch, n_kept(detector, i) * sizeof(uint16_t));
    }
    state->query = take(&scratch, finest(detector)->end_dim);
}

void vad_patchcore_search(const vad_patchcore_t *detector, uint32_t y, const int8_t *const rows[],
                          uint8_t *scratch, vad_patchcore_state_t *state) {
    lay_out(detector, scratch, state);
    for (uint32_t i = 0; i < detector->n_levels; i++) {
        const vad_patchcore_level_t *level = &detector->levels[i];
        state->rows[i] = rows;
        state->first_row[i] = vad_first_covered(y, detector->levels[0].rows, level->rows);
        rows += level->window;
    }
    search_row(detector, y, state);
    if (y + 1 == detector->levels[0].rows) {
        const vad_patchcore_level_t *last = finest(detector);
        state->score =
            vad_smooth(&last->runs, &detector->down, last->rows, last->cols, state->cells);
    }
}

/* The score, by the neighbours of the row that is nearest to the strangest patch. */
static uint32_t reweighted(const vad_patchcore_t *detector, const vad_patchcore_state_t *state) {
    const vad_patch_search_t *search = detector->search;
    vad_neighbours_t neighbours = {.n = 0};
    uint32_t distances[VAD_REWEIGHT_NEIGHBORS];
    search->decode(detector->bank, state->nearest[state->greatest], state->decoded);
    for (uint32_t row = 0; row < detector->n_codes; row++) {
        vad_neighbours_add(&neighbours, search->distance(detector->bank, 0, state->decoded, row),
                           row);
    }
    for (uint32_t i = 0; i < neighbours.n; i++) {
        distances[i] = cell_score(
            search->distance(detector->bank, 0, state->greatest_query, neighbours.row[i]));
    }
    return vad_reweight(detector->reweight, state->score, distances, neighbours.n);
}

uint32_t vad_patchcore_score(const vad_patchcore_t *detector, const vad_patchcore_state_t *state) {
    const int is_weighed = state->score > 0 && detector->reweight != NULL;
    return is_weighed ? reweighted(detector, state) : state->score;
}
