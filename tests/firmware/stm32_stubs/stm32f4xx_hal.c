/* See the header; and a start-up for firmware/stm32cube/link.ld, as ST's is. */
#include "stm32f4xx_hal.h"

#include <string.h>

#define NVIC_ENABLE ((volatile uint32_t *)0xE000E100)

extern uint32_t _estack[], _sidata[], _sdata[], _edata[], _sbss[], _ebss[];

int main(void);
void Reset_Handler(void);
void SysTick_Handler(void);
void USART1_IRQHandler(void);

/* 16 of the core, then the chip's. */
__attribute__((section(".isr_vector"), used)) static const uintptr_t vectors[16 + 82] = {
    [0] = (uintptr_t)_estack,
    [1] = (uintptr_t)Reset_Handler,
    [15] = (uintptr_t)SysTick_Handler,
    [16 + USART1_IRQn] = (uintptr_t)USART1_IRQHandler,
};

void Reset_Handler(void) {
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20; /* the FPU */
    memcpy(_sdata, _sidata, (size_t)((char *)_edata - (char *)_sdata));
    memset(_sbss, 0, (size_t)((char *)_ebss - (char *)_sbss));
    (void)main();
    for (;;) {
    }
}

HAL_StatusTypeDef HAL_Init(void) {
    return HAL_OK;
}

void HAL_IncTick(void) {
}

HAL_StatusTypeDef HAL_RCC_OscConfig(const RCC_OscInitTypeDef *oscillator) {
    return oscillator->PLL.PLLN == 168 ? HAL_OK : HAL_ERROR;
}

HAL_StatusTypeDef HAL_RCC_ClockConfig(const RCC_ClkInitTypeDef *clock, uint32_t latency) {
    return clock->SYSCLKSource == RCC_SYSCLKSOURCE_PLLCLK && latency == 5 ? HAL_OK : HAL_ERROR;
}

void HAL_GPIO_Init(GPIO_TypeDef *group, const GPIO_InitTypeDef *pins) {
    (void)group;
    (void)pins;
}

HAL_StatusTypeDef HAL_UART_Init(UART_HandleTypeDef *serial) {
    serial->Instance->CR1 = 0x2000u | serial->Init.Mode; /* on */
    return HAL_OK;
}

HAL_StatusTypeDef HAL_UART_Transmit(UART_HandleTypeDef *serial, const uint8_t *data, uint16_t bytes,
                                    uint32_t timeout) {
    (void)timeout;
    for (uint32_t i = 0; i < bytes; i++) {
        while ((serial->Instance->SR & UART_FLAG_TXE) == 0) {
        }
        serial->Instance->DR = data[i];
    }
    return HAL_OK;
}

void HAL_NVIC_SetPriority(IRQn_Type number, uint32_t priority, uint32_t sub_priority) {
    (void)number;
    (void)priority;
    (void)sub_priority;
}

void HAL_NVIC_EnableIRQ(IRQn_Type number) {
    NVIC_ENABLE[number / 32] = 1u << (number % 32);
}
