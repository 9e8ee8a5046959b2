#include "vad_students.h"

#include <stddef.h>
#include <string.h>

#include "vad_square_root.h"

void vad_students_begin(const vad_students_t *detector, uint8_t *memory,
                        vad_students_state_t *state) {
    uint32_t *next = (uint32_t *)(void *)memory;
    memset(state, 0, sizeof *state);
    for (uint32_t i = 0; i < detector->n_levels; i++) {
        const size_t n = (size_t)detector->levels[i].rows * detector->levels[i].cols;
        state->cells[i] = next;
        memset(next, 0, n * sizeof *next);
        next += n;
        state->left += detector->levels[i].rows;
    }
}

/* (1 - cos) / 2 in steps of 2^-31 from t.s, t.t and s.s, each below 2^31 in magnitude.
 *
 * By Cauchy and Schwarz |t.s| 2^k is at most r, so r - (t.s) 2^k is from 0 to 2 r < 2^33. */
static uint32_t half(int32_t ts, int32_t tt, int32_t ss) {
    uint64_t p = (uint64_t)tt * (uint64_t)ss;
    if (p == 0) {
        return tt == ss ? 0 : UINT32_C(1) << 29;
    }
    uint32_t k = 0;
    for (; p >> 62 == 0; p <<= 2) {
        k++;
    }
    const uint32_t r = vad_square_root(p);
    const uint64_t apart = (uint64_t)(r - (int64_t)ts * ((int64_t)1 << k));
    return (uint32_t)(((apart << 30) + r / 2) / r);
}

static uint32_t difference(const vad_students_level_t *level, const int8_t *teacher,
                           const int8_t *student) {
    int32_t ts = 0, tt = 0, ss = 0;
    for (uint32_t c = 0; c < level->channels; c++) {
        const int32_t t = teacher[c] - level->teacher_zero;
        const int32_t s = student[c] - level->student_zero;
        ts += t * s;
        tt += t * t;
        ss += s * s;
    }
    return half(ts, tt, ss);
}

/* floor(product * factor / 2^31), product at most 2^62 and factor at most 2^31. */
static uint64_t multiply(uint64_t product, uint32_t factor) {
    const uint64_t high = product >> 32;
    const uint64_t low = product & UINT32_MAX;
    return high * ((uint64_t)factor << 1) + ((low * factor) >> 31);
}

/* Score of the cell y, x of the finest level. */
static uint32_t product_of(const vad_students_t *detector, const vad_students_state_t *state,
                           uint32_t y, uint32_t x) {
    const vad_students_level_t *finest = detector->levels;
    uint64_t product = (uint64_t)state->cells[0][y * finest->cols + x] << 31;
    for (uint32_t i = 1; i < detector->n_levels; i++) {
        const vad_students_level_t *level = &detector->levels[i];
        const uint32_t row = y * level->rows / finest->rows;
        const uint32_t col = x * level->cols / finest->cols;
        product = multiply(product, state->cells[i][row * level->cols + col]);
    }
    const uint64_t rounded = (product + (UINT64_C(1) << (detector->shift - 1))) >> detector->shift;
    return rounded > UINT32_MAX ? UINT32_MAX : (uint32_t)rounded;
}

/* Multiplies the levels into the finest's cells. */
static void multiply_levels(const vad_students_t *detector, vad_students_state_t *state) {
    const vad_students_level_t *finest = detector->levels;
    for (uint32_t y = 0; y < finest->rows; y++) {
        for (uint32_t run = finest->runs.start[y]; run < finest->runs.start[y + 1]; run++) {
            for (uint32_t x = finest->runs.first[run]; x < finest->runs.end[run]; x++) {
                const uint32_t found = product_of(detector, state, y, x);
                state->cells[0][y * finest->cols + x] = found;
                state->score = found > state->score ? found : state->score;
            }
        }
    }
}

void vad_students_row(const vad_students_t *detector, uint32_t level, const int8_t *teacher,
                      const int8_t *student, vad_students_state_t *state) {
    const vad_students_level_t *own = &detector->levels[level];
    const uint32_t y = state->next[level]++;
    uint32_t *cells = state->cells[level] + (size_t)y * own->cols;
    for (uint32_t run = own->runs.start[y]; run < own->runs.start[y + 1]; run++) {
        for (uint32_t x = own->runs.first[run]; x < own->runs.end[run]; x++) {
            const size_t at = (size_t)x * own->channels;
            cells[x] = difference(own, teacher + at, student + at);
        }
    }
    if (--state->left == 0) {
        multiply_levels(detector, state);
    }
}

uint32_t vad_students_score(const vad_students_state_t *state) {
    return state->score;
}
