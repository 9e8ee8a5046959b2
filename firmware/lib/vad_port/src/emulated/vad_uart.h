/* The emulated chips' serial ports, polled: just what an emulator needs, without pins and clocks.
 * The board's flags name the kind and its address. */
#ifndef VAD_UART_H
#define VAD_UART_H

#include <stdbool.h>
#include <stdint.h>

#define VAD_REGISTER(type, address) (*(volatile type *)(address))

#if defined(__arm__)
#define VAD_NVIC_ENABLE(word) VAD_REGISTER(uint32_t, 0xE000E100u + 4u * (word))
#define VAD_NVIC_UNPEND(word) VAD_REGISTER(uint32_t, 0xE000E280u + 4u * (word))
#define VAD_NVIC_WORDS 4u

/* Interrupts stay masked: one that pends ends a `wfi`, and none is taken. The serial port's is the
 * only one that anything raises. */
static inline void vad_uart_open_sleep(void) {
    __asm__ volatile("cpsid i" ::: "memory");
    for (uint32_t word = 0; word < VAD_NVIC_WORDS; word++) {
        VAD_NVIC_ENABLE(word) = UINT32_MAX;
    }
}

static inline void vad_uart_sleep(void) {
    __asm__ volatile("wfi" ::: "memory");
}

static inline void vad_uart_woken(void) {
    for (uint32_t word = 0; word < VAD_NVIC_WORDS; word++) {
        VAD_NVIC_UNPEND(word) = UINT32_MAX;
    }
}
#else
static inline void vad_uart_open_sleep(void) {
}

static inline void vad_uart_sleep(void) {
}

static inline void vad_uart_woken(void) {
}
#endif

#if defined(VAD_UART_CMSDK) /* Arm's MPS2 and MPS3 boards */
#define VAD_UART_DATA VAD_REGISTER(uint32_t, VAD_UART_CMSDK)
#define VAD_UART_STATE VAD_REGISTER(uint32_t, VAD_UART_CMSDK + 0x4u)
#define VAD_UART_CTRL VAD_REGISTER(uint32_t, VAD_UART_CMSDK + 0x8u)
#define VAD_UART_INTERRUPT VAD_REGISTER(uint32_t, VAD_UART_CMSDK + 0xCu)
#define VAD_UART_BAUDDIV VAD_REGISTER(uint32_t, VAD_UART_CMSDK + 0x10u)

static inline void vad_uart_open(void) {
    VAD_UART_BAUDDIV = 16; /* the least; the emulator waits for nothing */
    VAD_UART_CTRL = 0xB;   /* transmit, receive, interrupt on receive */
}

static inline bool vad_uart_has_byte(void) {
    return (VAD_UART_STATE & 0x2u) != 0;
}

static inline bool vad_uart_has_room(void) {
    return (VAD_UART_STATE & 0x1u) == 0;
}

static inline uint8_t vad_uart_take(void) {
    const uint8_t byte = (uint8_t)VAD_UART_DATA;
    VAD_UART_INTERRUPT = 0x2u;
    return byte;
}

#elif defined(VAD_UART_STM32) /* STM32F1, F2 and F4 */
#define VAD_UART_STATE VAD_REGISTER(uint32_t, VAD_UART_STM32)
#define VAD_UART_DATA VAD_REGISTER(uint32_t, VAD_UART_STM32 + 0x4u)
#define VAD_UART_CTRL VAD_REGISTER(uint32_t, VAD_UART_STM32 + 0xCu)

static inline void vad_uart_open(void) {
    VAD_UART_CTRL = 0x202C; /* on, transmit, receive, interrupt on receive */
}

static inline bool vad_uart_has_byte(void) {
    return (VAD_UART_STATE & 0x20u) != 0;
}

static inline bool vad_uart_has_room(void) {
    return (VAD_UART_STATE & 0x80u) != 0;
}

static inline uint8_t vad_uart_take(void) {
    return (uint8_t)VAD_UART_DATA;
}

#elif defined(VAD_UART_16550) /* QEMU's virt */
#define VAD_UART_DATA VAD_REGISTER(uint8_t, VAD_UART_16550)
#define VAD_UART_STATE VAD_REGISTER(uint8_t, VAD_UART_16550 + 0x5u)
#define VAD_UART_FIFO VAD_REGISTER(uint8_t, VAD_UART_16550 + 0x2u)

static inline void vad_uart_open(void) {
    VAD_UART_FIFO = 0xC1; /* 16 bytes each way, 14 of which are taken at once */
}

static inline bool vad_uart_has_byte(void) {
    return (VAD_UART_STATE & 0x01u) != 0;
}

static inline bool vad_uart_has_room(void) {
    return (VAD_UART_STATE & 0x20u) != 0;
}

static inline uint8_t vad_uart_take(void) {
    return (uint8_t)VAD_UART_DATA;
}

#elif defined(VAD_UART_SIMCALL) /* QEMU's Xtensa simulator: a console in place of a port */
#include "vad_semihost.h"

enum { VAD_SIM_INPUT = 0, VAD_SIM_OUTPUT = 1, VAD_SIM_IS_READABLE = 1 };

static inline void vad_uart_open(void) {
}

static inline bool vad_uart_has_byte(void) {
    return vad_sim_call(VAD_SIM_SELECT, VAD_SIM_INPUT, VAD_SIM_IS_READABLE, 0) > 0;
}

static inline bool vad_uart_has_room(void) {
    return true;
}

static inline uint8_t vad_uart_take(void) {
    uint8_t byte = 0;
    (void)vad_semihost_read(VAD_SIM_INPUT, &byte, 1);
    return byte;
}

static inline void vad_uart_put(uint8_t byte) {
    (void)vad_semihost_write(VAD_SIM_OUTPUT, &byte, 1);
}

#else
#error "the board's flags name no serial port"
#endif

#if defined(VAD_UART_DATA)
static inline void vad_uart_put(uint8_t byte) {
    VAD_UART_DATA = byte;
}
#endif

#endif
