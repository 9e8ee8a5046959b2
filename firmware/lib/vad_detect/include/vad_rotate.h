/* PatchCore's rotation of a patch: a product-quantized bank keeps more of rotated features for the
 * same bytes. */
#ifndef VAD_ROTATE_H
#define VAD_ROTATE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* clamp((weights * features + bias) >> shift, -127, 127), block by block; the last block may be
 * smaller. dims at most 2^16, |bias| at most 2^30. */
typedef struct {
    const uint16_t *order; /* [dims], which feature of the patch comes where */
    const int8_t *weights; /* a square matrix for each block, the row that makes an output together */
    const int32_t *bias;   /* [dims]; holds the half that rounds */
    uint32_t block;        /* features of a block */
    uint16_t shift;        /* at most 30 */
} vad_rotation_t;

/* Rotates one patch in place, int8 [dims]. scratch: int8 [dims]. */
void vad_rotate(const vad_rotation_t *rotation, uint32_t dims, int8_t *scratch, int8_t *patch);

#ifdef __cplusplus
}
#endif

#endif
