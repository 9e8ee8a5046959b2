/* What every emulated core does once it has a stack: data, main, exit code; and after a fault. */
#include "vad_semihost.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Exit code of a fault: this and the cause. */
#define FAULT_EXIT 0xF0u

/* From link.ld. */
extern uint8_t vad_data_start[], vad_data_end[], vad_data_load[], vad_bss_start[], vad_bss_end[];

int main(void);
_Noreturn void vad_start(void);
_Noreturn void vad_fault(uint32_t cause);

_Noreturn void vad_start(void) {
    memcpy(vad_data_start, vad_data_load, (size_t)(vad_data_end - vad_data_start));
    memset(vad_bss_start, 0, (size_t)(vad_bss_end - vad_bss_start));
    vad_semihost_exit((uint32_t)main());
}

_Noreturn void vad_fault(uint32_t cause) {
    vad_semihost_exit(FAULT_EXIT + (cause & 0xFu));
}
