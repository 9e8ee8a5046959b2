/* Teacher against student (STFPM, PaSTe): how far the features of each cell point apart.
 *
 * A level is a tap of the teacher and the same tap of the student. With t and s the features of a
 * cell, zero points subtracted, its difference is (1 - cos) / 2 in steps of 2^-31; a cell's score
 * is the product over the levels, coarser ones repeated to the nearest. ref/students.py has the
 * exact definition. */
#ifndef VAD_STUDENTS_H
#define VAD_STUDENTS_H

#include <stdint.h>

#include "vad_runs.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Most levels a detector may have. */
#define VAD_STUDENTS_MAX_LEVELS 8

typedef struct {
    vad_runs_t runs; /* the cells that are looked at, along rows */
    uint16_t rows, cols;
    uint16_t channels;    /* at most 2^15 */
    int16_t teacher_zero; /* zero points, -128 to 127 */
    int16_t student_zero;
} vad_students_level_t;

typedef struct {
    const vad_students_level_t *levels; /* the finest first */
    uint16_t n_levels;
    uint16_t shift; /* 1 to 30: scores are in steps of 2^(shift - 62) */
} vad_students_t;

typedef struct {
    uint32_t *cells[VAD_STUDENTS_MAX_LEVELS]; /* [rows][cols] differences by level; the finest's
                                                 become the scores once all rows came */
    uint16_t next[VAD_STUDENTS_MAX_LEVELS];   /* row of each level that comes next */
    uint32_t left;                            /* rows of all levels that are to come */
    uint32_t score;
} vad_students_state_t;

/* Starts an image. memory: 4 (sum of rows cols) bytes, aligned to 4. */
void vad_students_begin(const vad_students_t *detector, uint8_t *memory,
                        vad_students_state_t *state);

/* Takes the next row of a level, int8 [cols][channels] of the teacher and of the student. */
void vad_students_row(const vad_students_t *detector, uint32_t level, const int8_t *teacher,
                      const int8_t *student, vad_students_state_t *state);

/* The greatest cell score, once every row of every level came; cells that do not count are 0. */
uint32_t vad_students_score(const vad_students_state_t *state);

#ifdef __cplusplus
}
#endif

#endif
