/* The markers between which an emulator counts instructions; the same for all ports. */
#include "vad_port.h"

#if defined(__clang__)
#define VAD_OPAQUE __attribute__((noinline, optnone))
#else
#define VAD_OPAQUE __attribute__((noipa))
#endif

VAD_OPAQUE void vad_port_region_begin(void) {
}

VAD_OPAQUE void vad_port_region_end(void) {
}
