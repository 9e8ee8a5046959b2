/* Every operation on pairs of 64-bit numbers: those of request.bin in, the results out. */
#include "vad_port.h"

int main(void) {
    uint64_t pair[2];
    bool ok = vad_port_open();
    while (ok && vad_port_read(pair, sizeof pair) == sizeof pair) {
        const uint64_t a = pair[0], b = pair[1];
        const int64_t sa = (int64_t)a, sb = (int64_t)b;
        const uint32_t a32 = (uint32_t)a, b32 = (uint32_t)b;
        const int32_t sa32 = (int32_t)a, sb32 = (int32_t)b;
        const uint64_t results[] = {
            a * b,
            (uint64_t)a32 * b32,
            (uint64_t)((int64_t)sa32 * sb32),
            a / b,
            a % b,
            (uint64_t)(sa / sb),
            (uint64_t)(sa % sb),
            a32 / b32,
            a32 % b32,
            (uint64_t)(sa32 / sb32),
            (uint64_t)(sa32 % sb32),
        };
        ok = vad_port_write(results, sizeof results);
    }
    vad_port_close();
    return ok ? 0 : 1;
}
