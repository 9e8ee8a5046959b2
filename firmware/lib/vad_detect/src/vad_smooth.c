#include "vad_smooth.h"

/* The lines start `pitch` apart, their cells lie `stride` apart. */
static void smooth_runs(const vad_runs_t *runs, uint32_t lines, uint32_t pitch, uint32_t stride,
                        uint32_t *cells) {
    for (uint32_t line = 0; line < lines; line++) {
        for (uint32_t run = runs->start[line]; run < runs->start[line + 1]; run++) {
            uint32_t *cell = cells + line * pitch + runs->first[run] * stride;
            uint32_t before = *cell;
            for (uint32_t at = runs->first[run] + 1u; at < runs->end[run]; at++, cell += stride) {
                const uint32_t here = *cell;
                *cell = before + 2 * here + cell[stride];
                before = here;
            }
            *cell = before + 3 * *cell;
        }
    }
}

uint32_t vad_smooth(const vad_runs_t *across, const vad_runs_t *down, uint32_t rows, uint32_t cols,
                    uint32_t *cells) {
    uint32_t greatest = 0;
    smooth_runs(across, rows, cols, 1, cells);
    smooth_runs(down, cols, 1, cols, cells);
    for (uint32_t i = 0; i < rows * cols; i++) {
        greatest = cells[i] > greatest ? cells[i] : greatest;
    }
    return greatest;
}
