#include "vad_self_test.h"

#include "vad_crc32.h"

/* Every bit of x changes about half of the result's. */
static uint32_t mixed(uint32_t x) {
    x = (x ^ x >> 16) * 0x7FEB352Du;
    x = (x ^ x >> 15) * 0x846CA68Bu;
    return x ^ x >> 16;
}

void vad_self_test_row(uint32_t index, uint32_t y, uint32_t width, uint32_t channels,
                       uint8_t *row) {
    const uint32_t shift = 2u * index;
    for (uint32_t x = 0; x < width; x++) {
        const uint32_t square = mixed((y >> shift) << 16 ^ x >> shift);
        for (uint32_t c = 0; c < channels; c++) {
            *row++ = (uint8_t)(mixed(square + c) >> 24);
        }
    }
}

uint32_t vad_self_test_output(uint32_t output, uint32_t y, const int8_t *data, size_t bytes) {
    const uint32_t place = output << 16 | y;
    return vad_crc32(vad_crc32(0, &place, sizeof place), data, bytes);
}

uint32_t vad_self_test_digest(uint32_t outputs, uint32_t score, const uint32_t *cells,
                              uint32_t n_cells) {
    const uint32_t head[2] = {outputs, score};
    return vad_crc32(vad_crc32(0, head, sizeof head), cells, n_cells * sizeof *cells);
}
