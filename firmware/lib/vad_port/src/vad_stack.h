/* High-water mark of a stack that grows downwards: paint what is free, later find what is left. */
#ifndef VAD_STACK_H
#define VAD_STACK_H

#include <stdint.h>

#define VAD_STACK_PAINT 0xA5C3A5C3u

/* Paints from `bottom`, the lowest word of the stack, to 64 bytes below the caller's frame. */
static inline void vad_stack_paint(volatile uint32_t *bottom) {
    const uintptr_t end = (uintptr_t)__builtin_frame_address(0) - 64u;
    while ((uintptr_t)bottom < end) {
        *bottom++ = VAD_STACK_PAINT;
    }
}

/* Bytes between `top`, the first address above the stack, and the lowest word ever written. */
static inline uint32_t vad_stack_used(const volatile uint32_t *bottom,
                                      const volatile uint32_t *top) {
    while (bottom < top && *bottom == VAD_STACK_PAINT) {
        bottom++;
    }
    return (uint32_t)((uintptr_t)top - (uintptr_t)bottom);
}

#endif
