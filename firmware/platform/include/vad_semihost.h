/* Semihosting calls of Arm M-profile and RISC-V cores. */
#ifndef VAD_SEMIHOST_H
#define VAD_SEMIHOST_H

#include <stdint.h>

#define VAD_SEMIHOST_OPEN 0x01u
#define VAD_SEMIHOST_CLOSE 0x02u
#define VAD_SEMIHOST_WRITE 0x05u
#define VAD_SEMIHOST_READ 0x06u
#define VAD_SEMIHOST_EXIT_EXTENDED 0x20u

/* The reason "application exit", with which an exit code is passed on. */
#define VAD_SEMIHOST_APPLICATION_EXIT 0x20026u

static inline intptr_t vad_semihost(uintptr_t operation, const void *block) {
#if defined(__arm__)
    register uintptr_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = block;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return (intptr_t)r0;
#elif defined(__riscv)
    register uintptr_t a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = block;
    /* The three instructions must be uncompressed and lie in one page. What fills up to the boundary
     * may be compressed: without, the linker may lack two bytes of it. */
    __asm__ volatile(".option push\n"
                     ".balign 16\n"
                     ".option norvc\n"
                     "slli x0, x0, 0x1f\n"
                     "ebreak\n"
                     "srai x0, x0, 7\n"
                     ".option pop"
                     : "+r"(a0)
                     : "r"(a1)
                     : "memory");
    return (intptr_t)a0;
#else
#error "no semihosting call is known for this core"
#endif
}

static inline _Noreturn void vad_semihost_exit(uint32_t code) {
    const uintptr_t block[2] = {VAD_SEMIHOST_APPLICATION_EXIT, code};
    for (;;) {
        (void)vad_semihost(VAD_SEMIHOST_EXIT_EXTENDED, block);
    }
}

#endif
