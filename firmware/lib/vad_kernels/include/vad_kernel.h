/* The contract of every kernel: one output row from pointers to the input rows it needs.
 *
 *     void vad_x(const vad_x_t *op, const int8_t *const *rows, int8_t *out, void *scratch);
 *
 * op       constants of the layer, made at compile time
 * rows     input rows, topmost first; those of the second input follow those of the first. NULL
 *          stands for a row of padding. A row starts at a multiple of 4 bytes and holds int8
 * pixels, or where the plan lets two kernels agree on it int16 planes, a channel after the other.
 * out      the output row; overlaps no input row
 * scratch  as many bytes as the plan reserved, 8-byte aligned; contents do not survive
 */
#ifndef VAD_KERNEL_H
#define VAD_KERNEL_H

#include <stdint.h>

#include "vad_fixed.h"

#endif
