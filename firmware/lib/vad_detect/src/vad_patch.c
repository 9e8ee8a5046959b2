#include "vad_patch.h"

#include <stddef.h>

/* Sum over the window of (q - zero_point) at one channel; `data` lists the window's pixels. */
static int32_t window_sum(const int8_t *const data[], uint32_t n, uint32_t channel, int32_t zero) {
    int32_t sum = -(int32_t)n * zero;
    for (uint32_t i = 0; i < n; i++) {
        sum += data[i][channel];
    }
    return sum;
}

static int8_t scaled(const vad_patch_t *patch, int32_t sum) {
    /* |sum| <= 16 * 255 < 2^12 and multiplier < 2^18: the product and the half stay below 2^31. */
    const int32_t half = (int32_t)1 << (patch->shift - 1);
    const int32_t u = (sum * patch->multiplier + half) >> patch->shift;
    return (int8_t)(u > 127 ? 127 : u < -127 ? -127 : u);
}

void vad_patch_row(const vad_patch_t *patch, const int8_t *const rows[], uint32_t first,
                   uint32_t end, int8_t *out) {
    const int32_t width = patch->width;
    out += (size_t)first * patch->pitch;
    for (int32_t x = (int32_t)first; x < (int32_t)end; x++) {
        const int32_t left = x * patch->stride - 1;
        const int8_t *data[VAD_PATCH_MAX_WINDOW * VAD_PATCH_MAX_WINDOW];
        uint32_t n = 0;
        for (uint32_t i = 0; i < patch->window; i++) {
            for (int32_t column = left; column < left + patch->window; column++) {
                if (rows[i] != NULL && column >= 0 && column < width) {
                    data[n++] = rows[i] + column * patch->channels;
                }
            }
        }
        for (uint32_t channel = 0; channel < patch->channels; channel++) {
            out[channel] = scaled(patch, window_sum(data, n, channel, patch->zero_point));
        }
        out += patch->pitch;
    }
}
