/* STM32 with ST's HAL: the virtual serial port of the board's ST-LINK, 8N1. What comes while a row
 * is computed is kept by the port's interrupt.
 *
 * Clocks come from the internal oscillator, so that no crystal of the board matters. */
#include "vad_port.h"

#include "../vad_receive.h"
#include "../vad_stack.h"
#include "vad_chip.h"

#define BAUD 115200u
#define CHUNK_BYTES 0x8000u

/* Ends of the stack, from the linker script. */
extern uint32_t vad_stack_bottom[];
extern uint32_t vad_stack_top[];

void SysTick_Handler(void);
void VAD_CHIP_SERIAL_HANDLER(void);

static UART_HandleTypeDef serial;
static vad_receive_t received;

/* The HAL's time-outs count milliseconds. */
void SysTick_Handler(void) {
    HAL_IncTick();
}

void VAD_CHIP_SERIAL_HANDLER(void) {
    USART_TypeDef *const port = VAD_CHIP_SERIAL;
    const uint32_t state = port->VAD_CHIP_STATE;
    const uint8_t byte = (uint8_t)port->VAD_CHIP_DATA;
    if ((state & UART_FLAG_ORE) != 0) {
        VAD_CHIP_END_OVERRUN(port);
        received.overruns++;
    }
    if ((state & UART_FLAG_RXNE) != 0) {
        vad_receive_put(&received, byte);
    }
}

static void connect(GPIO_TypeDef *group, uint32_t pin) {
    GPIO_InitTypeDef pins = {0};
    pins.Pin = pin;
    pins.Mode = GPIO_MODE_AF_PP;
    pins.Pull = GPIO_PULLUP;
    pins.Speed = GPIO_SPEED_FREQ_HIGH;
    pins.Alternate = VAD_CHIP_SERIAL_FUNCTION;
    HAL_GPIO_Init(group, &pins);
}

static bool open_serial(void) {
    vad_chip_clock_serial();
    connect(VAD_CHIP_TX);
    connect(VAD_CHIP_RX);
    serial.Instance = VAD_CHIP_SERIAL;
    serial.Init.BaudRate = BAUD;
    serial.Init.WordLength = UART_WORDLENGTH_8B;
    serial.Init.StopBits = UART_STOPBITS_1;
    serial.Init.Parity = UART_PARITY_NONE;
    serial.Init.Mode = UART_MODE_TX_RX;
    serial.Init.HwFlowCtl = UART_HWCONTROL_NONE;
    serial.Init.OverSampling = UART_OVERSAMPLING_16;
    if (HAL_UART_Init(&serial) != HAL_OK) {
        return false;
    }
    HAL_NVIC_SetPriority(VAD_CHIP_SERIAL_IRQ, 0, 0); /* before all others */
    HAL_NVIC_EnableIRQ(VAD_CHIP_SERIAL_IRQ);
    __HAL_UART_ENABLE_IT(&serial, UART_IT_RXNE);
    return true;
}

bool vad_port_open(void) {
    vad_stack_paint(vad_stack_bottom);
#if defined(__ICACHE_PRESENT) && __ICACHE_PRESENT
    SCB_EnableICache();
    SCB_EnableDCache();
#endif
    return HAL_Init() == HAL_OK && vad_chip_start_clock() && open_serial();
}

size_t vad_port_read(void *data, size_t room) {
    size_t bytes;
    while ((bytes = vad_receive_take(&received, data, room)) == 0) {
        /* An interrupt that pends ends the sleep even while none is taken. */
        __disable_irq();
        if (vad_receive_is_empty(&received)) {
            __WFI();
        }
        __enable_irq();
    }
    return bytes;
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
    return VAD_RECEIVE_BYTES;
}

uint32_t vad_port_overruns(void) {
    return received.overruns;
}

uint32_t vad_port_stack_used(void) {
    return vad_stack_used(vad_stack_bottom, vad_stack_top);
}

void vad_port_close(void) {
}
