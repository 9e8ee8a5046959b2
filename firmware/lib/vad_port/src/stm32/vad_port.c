/* STM32 with ST's HAL: the virtual serial port of the board's ST-LINK, 115200 8N1.
 *
 * Clocks come from the internal oscillator, so that no crystal of the board matters. */
#include "vad_port.h"

#include "../vad_stack.h"
#include "vad_chip.h"

#define CHUNK_BYTES 0x8000u

/* Ends of the stack, from the linker script. */
extern uint32_t vad_stack_bottom[];
extern uint32_t vad_stack_top[];

void SysTick_Handler(void);

static UART_HandleTypeDef serial;

/* The HAL's time-outs count milliseconds. */
void SysTick_Handler(void) {
    HAL_IncTick();
}

bool vad_port_open(void) {
    vad_stack_paint(vad_stack_bottom);
#if defined(__ICACHE_PRESENT) && __ICACHE_PRESENT
    SCB_EnableICache();
    SCB_EnableDCache();
#endif
    if (HAL_Init() != HAL_OK || !vad_chip_start_clock()) {
        return false;
    }
    serial.Instance = vad_chip_start_pins();
    serial.Init.BaudRate = 115200;
    serial.Init.WordLength = UART_WORDLENGTH_8B;
    serial.Init.StopBits = UART_STOPBITS_1;
    serial.Init.Parity = UART_PARITY_NONE;
    serial.Init.Mode = UART_MODE_TX_RX;
    serial.Init.HwFlowCtl = UART_HWCONTROL_NONE;
    serial.Init.OverSampling = UART_OVERSAMPLING_16;
    return HAL_UART_Init(&serial) == HAL_OK;
}

/* A byte at a time, because nothing is kept while nobody reads. */
size_t vad_port_read(void *data, size_t room) {
    (void)room;
    __HAL_UART_CLEAR_OREFLAG(&serial); /* what came meanwhile is lost */
    while (HAL_UART_Receive(&serial, data, 1, HAL_MAX_DELAY) != HAL_OK) {
        __HAL_UART_CLEAR_OREFLAG(&serial);
    }
    return 1;
}

bool vad_port_write(const void *data, size_t bytes) {
    const uint8_t *at = data;
    while (bytes > 0) {
        const uint16_t chunk = (uint16_t)(bytes < CHUNK_BYTES ? bytes : CHUNK_BYTES);
        if (HAL_UART_Transmit(&serial, at, chunk, HAL_MAX_DELAY) != HAL_OK) {
            return false;
        }
        at += chunk;
        bytes -= chunk;
    }
    return true;
}

uint32_t vad_port_receive_bytes(void) {
    return 0;
}

uint32_t vad_port_stack_used(void) {
    return vad_stack_used(vad_stack_bottom, vad_stack_top);
}

void vad_port_close(void) {
}
