#include "vad_rotate.h"

/* |sum| <= 2^16 * 127 * 128 < 2^30, and |bias| <= 2^30. */
static int32_t weighted_sum(const int8_t *weights, const int8_t *patch, uint32_t n, int32_t sum) {
    for (; n >= 4; n -= 4) {
        sum += weights[0] * patch[0];
        sum += weights[1] * patch[1];
        sum += weights[2] * patch[2];
        sum += weights[3] * patch[3];
        weights += 4;
        patch += 4;
    }
    for (; n > 0; n--) {
        sum += *weights++ * *patch++;
    }
    return sum;
}

void vad_rotate(const vad_rotation_t *rotation, uint32_t dims, int8_t *scratch, int8_t *patch) {
    const int8_t *weights = rotation->weights;
    for (uint32_t i = 0; i < dims; i++) {
        scratch[i] = patch[rotation->order[i]];
    }
    for (uint32_t first = 0; first < dims; first += rotation->block) {
        const uint32_t left = dims - first;
        const uint32_t width = left < rotation->block ? left : rotation->block;
        for (uint32_t i = first; i < first + width; i++) {
            const int32_t sum = weighted_sum(weights, scratch + first, width, rotation->bias[i]);
            const int32_t u = sum >> rotation->shift;
            patch[i] = (int8_t)(u > 127 ? 127 : u < -127 ? -127 : u);
            weights += width;
        }
    }
}
