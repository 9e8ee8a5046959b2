/* Start-up of an emulated Cortex-M: coprocessors, data, main, exit code. */
#include "vad_semihost.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Exit code of a fault: this and the exception's number. */
#define FAULT_EXIT 0xF0u

#define CPACR (*(volatile uint32_t *)0xE000ED88u)
#define CCR (*(volatile uint32_t *)0xE000ED14u)
#define CCR_LOB (1u << 19)

/* From link.ld. */
extern uint32_t vad_stack_top[];
extern uint8_t vad_data_start[], vad_data_end[], vad_data_load[], vad_bss_start[], vad_bss_end[];

int main(void);
void vad_reset(void);
void vad_fault(void);

typedef void (*handler_t)(void);

typedef struct {
    uint32_t *stack_top;
    handler_t handlers[15];
} vectors_t;

__attribute__((section(".vectors"), used)) static const vectors_t vectors = {
    vad_stack_top,
    {vad_reset, vad_fault, vad_fault, vad_fault, vad_fault, vad_fault, vad_fault, vad_fault,
     vad_fault, vad_fault, vad_fault, vad_fault, vad_fault, vad_fault, vad_fault},
};

void vad_fault(void) {
    uint32_t exception;
    __asm__ volatile("mrs %0, ipsr" : "=r"(exception));
    vad_semihost_exit(FAULT_EXIT + (exception & 0xFu));
}

/* Apart from vad_reset, because the compiler may use vector registers here. */
__attribute__((noinline)) static _Noreturn void start(void) {
    memcpy(vad_data_start, vad_data_load, (size_t)(vad_data_end - vad_data_start));
    memset(vad_bss_start, 0, (size_t)(vad_bss_end - vad_bss_start));
    vad_semihost_exit((uint32_t)main());
}

void vad_reset(void) {
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    CPACR |= 0xFu << 20; /* full access to CP10 and CP11: FPU and Helium */
#endif
#if defined(__ARM_FEATURE_MVE)
    CCR |= CCR_LOB; /* low-overhead loops */
#endif
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    start();
}
