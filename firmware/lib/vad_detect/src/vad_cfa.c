#include "vad_cfa.h"

#include <stddef.h>
#include <string.h>

#include "vad_bounded_distance.h"
#include "vad_covered.h"
#include "vad_dot_product.h"
#include "vad_smooth.h"
#include "vad_square_root.h"

#define POWER_BITS 15u
#define STEP_BITS 8u
/* exp(-d) below 2^-24 is nothing. */
#define MOST_STEPS (24u << STEP_BITS)

/* The patches of a row of the first level, and what was made of them so far. */
typedef struct {
    const int8_t *const *rows[VAD_PATCH_MAX_LEVELS]; /* of each level, [cols][dims of the level] */
    uint32_t first_row[VAD_PATCH_MAX_LEVELS];        /* which rows[level][0] is */
    const int8_t *patch[VAD_PATCH_MAX_LEVELS];       /* of the last cell */
    int32_t *sums;                                   /* [levels][dims], up to each level */
    int8_t *descriptor;                              /* [dims] */
} view_t;

/* The nearest centres, nearest first. */
typedef struct {
    uint32_t n;
    uint32_t squared[VAD_CFA_NEAREST];
    uint16_t row[VAD_CFA_NEAREST];
} nearest_t;

static const vad_patchcore_level_t *finest(const vad_cfa_t *detector) {
    return &detector->patches->levels[detector->patches->n_levels - 1];
}

void vad_cfa_begin(const vad_cfa_t *detector, uint8_t *memory, vad_cfa_state_t *state) {
    memset(state, 0, sizeof *state);
    state->cells = (uint32_t *)(void *)memory;
    memset(state->cells, 0,
           (size_t)finest(detector)->rows * finest(detector)->cols * sizeof *state->cells);
}

/* Adds a level's patch to the sums up to the level above. */
static void add_level(const vad_cfa_t *detector, const vad_patchcore_level_t *level,
                      const int8_t *patch, const int32_t *above, int32_t *sums) {
    const uint32_t dims = (uint32_t)(level->end_dim - level->first_dim);
    const int8_t *weights = detector->weights + level->first_dim;
    for (uint32_t i = 0; i < detector->dims; i++) {
        sums[i] = vad_dot_product(weights, patch, dims, above[i]);
        weights += finest(detector)->end_dim;
    }
}

/* The patches of every level at the finest cell (y, x). */
static void find_patches(const vad_patchcore_t *patches, uint32_t y, uint32_t x, const view_t *view,
                         const int8_t *patch[]) {
    const vad_patchcore_level_t *finer = &patches->levels[patches->n_levels - 1];
    for (uint32_t i = patches->n_levels; i > 0; i--) {
        const vad_patchcore_level_t *level = &patches->levels[i - 1];
        const size_t dims = (size_t)(level->end_dim - level->first_dim);
        y = y * level->rows / finer->rows;
        x = x * level->cols / finer->cols;
        patch[i - 1] = view->rows[i - 1][y - view->first_row[i - 1]] + x * dims;
        finer = level;
    }
}

/* Makes the descriptor of the finest cell (y, x). |sums| are below 2^30 + 2^29, and a place adds
 * less than 2 * 2^15 * 2^12. */
static void describe(const vad_cfa_t *detector, uint32_t y, uint32_t x, view_t *view) {
    const vad_patchcore_t *patches = detector->patches;
    const int8_t *patch[VAD_PATCH_MAX_LEVELS] = {NULL};
    const int32_t *sums = detector->bias;
    int is_new = 0;
    find_patches(patches, y, x, view, patch);
    for (uint32_t i = 0; i < patches->n_levels; i++) {
        int32_t *own = view->sums + (size_t)i * detector->dims;
        is_new = is_new || patch[i] != view->patch[i];
        if (is_new) {
            view->patch[i] = patch[i];
            add_level(detector, &patches->levels[i], patch[i], sums, own);
        }
        sums = own;
    }
    const int32_t down = 2 * (int32_t)y - finest(detector)->rows + 1;
    const int32_t across = 2 * (int32_t)x - finest(detector)->cols + 1;
    const int16_t *place = detector->places;
    for (uint32_t i = 0; i < detector->dims; i++, place += 2) {
        const int32_t u = (sums[i] + down * place[0] + across * place[1]) >> detector->shift;
        view->descriptor[i] = (int8_t)(u > 127 ? 127 : u < -127 ? -127 : u);
    }
}

/* Takes a centre that is nearer than the last of a full list. */
static void insert(uint32_t squared, uint32_t row, nearest_t *found) {
    uint32_t at = found->n < VAD_CFA_NEAREST ? found->n++ : VAD_CFA_NEAREST - 1;
    for (; at > 0 && found->squared[at - 1] > squared; at--) {
        found->squared[at] = found->squared[at - 1];
        found->row[at] = found->row[at - 1];
    }
    found->squared[at] = squared;
    found->row[at] = (uint16_t)row;
}

/* A distance that as many centres as are wanted stay below: those of the last cell do. */
static uint32_t bound_of(const vad_cfa_t *detector, const int8_t *descriptor,
                         const vad_cfa_state_t *state) {
    const uint32_t dims = detector->dims;
    uint32_t bound = state->n_nearest == 0 ? UINT32_MAX : 0;
    for (uint32_t i = 0; i < state->n_nearest; i++) {
        const int8_t *centre = detector->centres + (size_t)state->nearest[i] * dims;
        const uint32_t squared = vad_squared_distance(descriptor, centre, dims);
        bound = squared >= bound ? squared + 1 : bound;
    }
    return bound;
}

/* The nearest centres of the descriptor. */
static nearest_t search(const vad_cfa_t *detector, const int8_t *descriptor,
                        vad_cfa_state_t *state) {
    const int8_t *centre = detector->centres;
    nearest_t found = {.n = 0};
    uint32_t bound = bound_of(detector, descriptor, state);
    for (uint32_t row = 0; row < detector->n_centres; row++, centre += detector->dims) {
        const uint32_t squared = vad_bounded_distance(descriptor, centre, detector->dims, bound, 0);
        if (squared < bound) {
            insert(squared, row, &found);
            bound = found.n == VAD_CFA_NEAREST ? found.squared[VAD_CFA_NEAREST - 1] : bound;
        }
    }
    state->n_nearest = found.n;
    memcpy(state->nearest, found.row, sizeof state->nearest);
    return found;
}

/* The least distance times its softmin, rounded. */
static uint32_t weighted(const vad_reweight_t *weigh, const nearest_t *found) {
    uint32_t least = 0;
    uint64_t total = 0;
    for (uint32_t i = 0; i < found->n; i++) {
        /* Below 2^24. */
        const uint32_t d =
            vad_square_root((uint64_t)found->squared[i] << (2 * VAD_PATCHCORE_SCORE_BITS));
        least = i == 0 ? d : least;
        const uint64_t steps = ((uint64_t)(d - least) * weigh->multiplier) >> weigh->shift;
        const uint32_t capped = steps < MOST_STEPS ? (uint32_t)steps : MOST_STEPS;
        const uint32_t power = weigh->powers[(0u - capped) & ((1u << STEP_BITS) - 1u)];
        total += power >> ((capped + (1u << STEP_BITS) - 1u) >> STEP_BITS);
    }
    return (uint32_t)((((uint64_t)least << POWER_BITS) + total / 2) / total);
}

/* Scores the finest cells under cell (y, x) of the first level. */
static void search_under(const vad_cfa_t *detector, uint32_t y, uint32_t x, view_t *view,
                         vad_cfa_state_t *state) {
    const vad_patchcore_level_t *last = finest(detector);
    uint32_t end_y = y + 1, end_x = x + 1;
    for (const vad_patchcore_level_t *level = detector->patches->levels; level < last; level++) {
        y = vad_first_covered(y, level->rows, level[1].rows);
        end_y = vad_first_covered(end_y, level->rows, level[1].rows);
        x = vad_first_covered(x, level->cols, level[1].cols);
        end_x = vad_first_covered(end_x, level->cols, level[1].cols);
    }
    for (; y < end_y; y++) {
        for (uint32_t at = x; at < end_x; at++) {
            if (vad_runs_have(&last->runs, y, at)) {
                describe(detector, y, at, view);
                const nearest_t found = search(detector, view->descriptor, state);
                state->cells[y * last->cols + at] = weighted(&detector->weigh, &found);
            }
        }
    }
}

void vad_cfa_search(const vad_cfa_t *detector, uint32_t y, const int8_t *const rows[],
                    uint8_t *scratch, vad_cfa_state_t *state) {
    const vad_patchcore_t *patches = detector->patches;
    const vad_patchcore_level_t *first = patches->levels, *last = finest(detector);
    view_t view = {.sums = (int32_t *)(void *)scratch,
                   .descriptor =
                       (int8_t *)scratch + sizeof(int32_t) * patches->n_levels * detector->dims};
    for (uint32_t i = 0; i < patches->n_levels; i++) {
        view.rows[i] = rows;
        view.first_row[i] = vad_first_covered(y, first->rows, first[i].rows);
        rows += first[i].window;
    }
    for (uint32_t x = 0; x < first->cols; x++) {
        search_under(detector, y, x, &view, state);
    }
    if (y + 1 == first->rows) {
        state->score =
            vad_smooth(&last->runs, &patches->down, last->rows, last->cols, state->cells);
    }
}

uint32_t vad_cfa_score(const vad_cfa_state_t *state) {
    return state->score;
}
