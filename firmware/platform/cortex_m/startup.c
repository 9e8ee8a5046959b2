/* Start-up of an emulated Cortex-M: vectors and coprocessors. */
#include <stdint.h>

#define CPACR (*(volatile uint32_t *)0xE000ED88u)
#define CCR (*(volatile uint32_t *)0xE000ED14u)
#define CCR_LOB (1u << 19)

extern uint32_t vad_stack_top[]; /* from link.ld */

/* Of ../common. */
_Noreturn void vad_start(void);
_Noreturn void vad_fault(uint32_t cause);

void vad_reset(void);
void vad_trap(void);

typedef void (*handler_t)(void);

typedef struct {
    uint32_t *stack_top;
    handler_t handlers[15];
} vectors_t;

__attribute__((section(".vectors"), used)) static const vectors_t vectors = {
    vad_stack_top,
    {vad_reset, vad_trap, vad_trap, vad_trap, vad_trap, vad_trap, vad_trap, vad_trap, vad_trap,
     vad_trap, vad_trap, vad_trap, vad_trap, vad_trap, vad_trap},
};

void vad_trap(void) {
    uint32_t exception;
    __asm__ volatile("mrs %0, ipsr" : "=r"(exception));
    vad_fault(exception);
}

void vad_reset(void) {
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    CPACR |= 0xFu << 20; /* full access to CP10 and CP11: FPU and Helium */
#endif
#if defined(__ARM_FEATURE_MVE)
    CCR |= CCR_LOB; /* low-overhead loops */
#endif
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    vad_start();
}
