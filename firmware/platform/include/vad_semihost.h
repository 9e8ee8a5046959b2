/* Files of the emulator's host, and the exit code: semihosting of Arm M-profile and RISC-V cores,
 * simulator calls of Xtensa. */
#ifndef VAD_SEMIHOST_H
#define VAD_SEMIHOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__xtensa__)

enum {
    VAD_SIM_EXIT = 1,
    VAD_SIM_READ = 3,
    VAD_SIM_WRITE = 4,
    VAD_SIM_OPEN = 5,
    VAD_SIM_CLOSE = 6,
    VAD_SIM_SELECT = 29,
};

/* The emulator passes these on as they are: Linux's O_WRONLY | O_CREAT | O_TRUNC. */
#define VAD_SIM_CREATE 0x241u
#define VAD_SIM_MODE 0644u

static inline intptr_t vad_sim_call(uintptr_t operation, uintptr_t first, uintptr_t second,
                                    uintptr_t third) {
    register uintptr_t a2 __asm__("a2") = operation;
    register uintptr_t a3 __asm__("a3") = first;
    register uintptr_t a4 __asm__("a4") = second;
    register uintptr_t a5 __asm__("a5") = third;
    __asm__ volatile("simcall" : "+r"(a2), "+r"(a3) : "r"(a4), "r"(a5) : "memory");
    return (intptr_t)a2;
}

static inline intptr_t vad_semihost_open(const char *name, bool is_written) {
    return vad_sim_call(VAD_SIM_OPEN, (uintptr_t)name, is_written ? VAD_SIM_CREATE : 0,
                        VAD_SIM_MODE);
}

static inline size_t vad_semihost_read(intptr_t file, void *data, size_t room) {
    const intptr_t bytes = vad_sim_call(VAD_SIM_READ, (uintptr_t)file, (uintptr_t)data, room);
    return bytes > 0 ? (size_t)bytes : 0;
}

static inline size_t vad_semihost_write(intptr_t file, const void *data, size_t bytes) {
    const intptr_t done = vad_sim_call(VAD_SIM_WRITE, (uintptr_t)file, (uintptr_t)data, bytes);
    return done > 0 ? (size_t)done : 0;
}

static inline void vad_semihost_close(intptr_t file) {
    (void)vad_sim_call(VAD_SIM_CLOSE, (uintptr_t)file, 0, 0);
}

static inline _Noreturn void vad_semihost_exit(uint32_t code) {
    for (;;) {
        (void)vad_sim_call(VAD_SIM_EXIT, code, 0, 0);
    }
}

#else

#define VAD_SEMIHOST_OPEN 0x01u
#define VAD_SEMIHOST_CLOSE 0x02u
#define VAD_SEMIHOST_WRITE 0x05u
#define VAD_SEMIHOST_READ 0x06u
#define VAD_SEMIHOST_EXIT_EXTENDED 0x20u

/* The reason "application exit", with which an exit code is passed on. */
#define VAD_SEMIHOST_APPLICATION_EXIT 0x20026u

enum { VAD_SEMIHOST_RB = 1, VAD_SEMIHOST_WB = 5 }; /* modes "rb" and "wb" */

static inline intptr_t vad_semihost(uintptr_t operation, const void *block) {
#if defined(__arm__)
    register uintptr_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = block;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return (intptr_t)r0;
#elif defined(__riscv)
    register uintptr_t a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = block;
    /* The three instructions must be uncompressed and lie in one page. What fills up to the
     * boundary may be compressed: without, the linker may lack two bytes of it. */
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

static inline intptr_t vad_semihost_open(const char *name, bool is_written) {
    const uintptr_t mode = is_written ? VAD_SEMIHOST_WB : VAD_SEMIHOST_RB;
    const uintptr_t block[3] = {(uintptr_t)name, mode, strlen(name)};
    return vad_semihost(VAD_SEMIHOST_OPEN, block);
}

/* SYS_READ and SYS_WRITE return the number of bytes that were not transferred. */
static inline size_t vad_semihost_read(intptr_t file, void *data, size_t room) {
    const uintptr_t block[3] = {(uintptr_t)file, (uintptr_t)data, room};
    return room - (size_t)vad_semihost(VAD_SEMIHOST_READ, block);
}

static inline size_t vad_semihost_write(intptr_t file, const void *data, size_t bytes) {
    const uintptr_t block[3] = {(uintptr_t)file, (uintptr_t)data, bytes};
    return bytes - (size_t)vad_semihost(VAD_SEMIHOST_WRITE, block);
}

static inline void vad_semihost_close(intptr_t file) {
    const uintptr_t block[1] = {(uintptr_t)file};
    (void)vad_semihost(VAD_SEMIHOST_CLOSE, block);
}

static inline _Noreturn void vad_semihost_exit(uint32_t code) {
    const uintptr_t block[2] = {VAD_SEMIHOST_APPLICATION_EXIT, code};
    for (;;) {
        (void)vad_semihost(VAD_SEMIHOST_EXIT_EXTENDED, block);
    }
}

#endif

#endif
