/* Asks a board how large an arena the network takes there: the size of pointers, what the library's
 * kernels need and its planning differ by board. The answer, 4 bytes, is 0 where none is enough. */
#include "vad_model.h"
#include "vad_port.h"

#define STEP_BYTES 256

static _Alignas(16) uint8_t vad_arena[VAD_MODEL_NETWORK_BYTES];

/* What the interpreter says it uses may be too little to plan in, so that is tried. */
static uint32_t arena_bytes(void) {
    const vad_model_network_t *network = vad_model_network_open(vad_arena, sizeof vad_arena);
    if (network == NULL) {
        return 0;
    }
    size_t bytes = (vad_model_network_used(network) + 15) / 16 * 16;
    while (bytes < sizeof vad_arena && vad_model_network_open(vad_arena, bytes) == NULL) {
        bytes += STEP_BYTES;
    }
    return (uint32_t)bytes;
}

int main(void) {
    if (!vad_port_open()) {
        return 1;
    }
    const uint32_t bytes = arena_bytes();
    const bool written = vad_port_write(&bytes, sizeof bytes);
    vad_port_close();
    return written ? 0 : 3;
}
