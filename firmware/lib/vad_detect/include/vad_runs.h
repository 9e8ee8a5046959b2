/* The cells of a grid that count, as runs of neighbours along its lines (rows, or columns).
 *
 * A region of interest is nothing but these: what lies outside is never looked at, and no table has
 * an entry for it. The numpy twin is ref/roi.py. */
#ifndef VAD_RUNS_H
#define VAD_RUNS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const uint16_t *start; /* [lines + 1]: the first run of each line, then the number of runs */
    const uint16_t *first; /* [runs]: the run's first cell of its line */
    const uint16_t *end;   /* [runs]: the cell after its last */
    const uint16_t *cell;  /* [runs]: cells that count before the run, over all lines */
} vad_runs_t;

/* Whether the cell `at` of a line counts. */
static inline bool vad_runs_have(const vad_runs_t *runs, uint32_t line, uint32_t at) {
    for (uint32_t run = runs->start[line]; run < runs->start[line + 1]; run++) {
        if (at < runs->end[run]) {
            return at >= runs->first[run];
        }
    }
    return false;
}

#endif
