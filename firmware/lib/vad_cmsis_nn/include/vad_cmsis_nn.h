/* What the kernels that call CMSIS-NN share.
 *
 * Every output row is a call of a public function of the library on a small image: the window's
 * rows, as they lie where they lie one after another, else copied into scratch, where rows of
 * padding hold the zero point. Scratch starts with what the library may use. */
#ifndef VAD_CMSIS_NN_H
#define VAD_CMSIS_NN_H

#include <arm_nnfunctions.h>

#include "vad_kernel.h"
#include "vad_rows.h"

#ifdef CMSIS_NN_USE_SINGLE_ROUNDING
#error "CMSIS-NN with CMSIS_NN_USE_SINGLE_ROUNDING gives other bytes: build it without"
#endif

/* Stops where the library refuses a call or wants more memory than the plan has set aside: it is of
 * another version than the adapters were written for. */
static inline void vad_cmsis_nn_require(int holds) {
    if (!holds) {
        __builtin_trap();
    }
}

/* The window's rows as one image; rows of padding hold `fill`. room: for all rows. */
static inline const int8_t *vad_cmsis_nn_image(const int8_t *const *rows, int32_t count,
                                               size_t bytes, int8_t fill, int8_t *room) {
    if (vad_rows_adjoin(rows, count, bytes)) {
        return rows[0];
    }
    vad_join_rows(rows, count, 0, bytes, bytes, fill, room);
    return room;
}

#endif
