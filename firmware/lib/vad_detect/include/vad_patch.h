/* PatchCore's patches: averages of a tap over a window, on the scale shared by all taps. */
#ifndef VAD_PATCH_H
#define VAD_PATCH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Rows of the largest window. */
#define VAD_PATCH_MAX_WINDOW 4

/* One tap's window and scale. Patch (y, x) averages tap rows y * stride - 1 to
 * y * stride - 2 + window, columns alike; what lies outside the tap counts as zero:
 *   u = clamp((sum of (q - zero_point)) * multiplier + 2^(shift - 1) >> shift, -127, 127). */
typedef struct {
    uint16_t height, width; /* of the tap */
    uint16_t rows, cols;    /* of the patches */
    uint16_t channels;      /* of both */
    uint16_t pitch;         /* bytes from one patch to the next in `out`, >= channels */
    int16_t zero_point;     /* of the tap, -128 to 127 */
    uint8_t window;         /* 1 <= window <= VAD_PATCH_MAX_WINDOW */
    uint8_t stride;         /* 1 or 2 */
    uint8_t shift;          /* 1 to 30 */
    int32_t multiplier;     /* 0 <= multiplier < 2^18 */
} vad_patch_t;

/* Makes the patches [first, end) of one row.
 * rows[0 .. window - 1]: the tap's rows under the window, int8 [width][channels], NULL outside it.
 * out: int8 [cols][pitch], of which the first `channels` are written. */
void vad_patch_row(const vad_patch_t *patch, const int8_t *const rows[], uint32_t first,
                   uint32_t end, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
