/* What differs between the chips and their boards: HAL, serial port and its pins, clock. */
#ifndef VAD_CHIP_H
#define VAD_CHIP_H

#include <stdbool.h>

#if defined(STM32F405xx)
#include "stm32f4xx_hal.h"

/* Any board: USART1 on PA9 and PA10, as the chip's own boot loader has it. */
#define VAD_CHIP_SERIAL USART1
#define VAD_CHIP_SERIAL_IRQ USART1_IRQn
#define VAD_CHIP_SERIAL_HANDLER USART1_IRQHandler
#define VAD_CHIP_SERIAL_FUNCTION GPIO_AF7_USART1
#define VAD_CHIP_TX GPIOA, GPIO_PIN_9
#define VAD_CHIP_RX GPIOA, GPIO_PIN_10

/* 16 MHz / 8 * 168 / 2 = 168 MHz core, 42 and 84 MHz APB. */
#define VAD_CHIP_PLL_N 168
#define VAD_CHIP_PLL_Q 7
#define VAD_CHIP_LATENCY FLASH_LATENCY_5
#define VAD_CHIP_OVERDRIVE HAL_OK

static inline void vad_chip_clock_serial(void) {
    __HAL_RCC_USART1_CLK_ENABLE();
    __HAL_RCC_GPIOA_CLK_ENABLE();
}

#elif defined(STM32F746xx)
#include "stm32f7xx_hal.h"

/* 32F746GDISCOVERY: USART1 on PA9 and PB7. */
#define VAD_CHIP_SERIAL USART1
#define VAD_CHIP_SERIAL_IRQ USART1_IRQn
#define VAD_CHIP_SERIAL_HANDLER USART1_IRQHandler
#define VAD_CHIP_SERIAL_FUNCTION GPIO_AF7_USART1
#define VAD_CHIP_TX GPIOA, GPIO_PIN_9
#define VAD_CHIP_RX GPIOB, GPIO_PIN_7

/* 16 MHz / 8 * 216 / 2 = 216 MHz core, 54 and 108 MHz APB. */
#define VAD_CHIP_PLL_N 216
#define VAD_CHIP_PLL_Q 9
#define VAD_CHIP_LATENCY FLASH_LATENCY_7
#define VAD_CHIP_OVERDRIVE HAL_PWREx_EnableOverDrive()

static inline void vad_chip_clock_serial(void) {
    __HAL_RCC_USART1_CLK_ENABLE();
    __HAL_RCC_GPIOA_CLK_ENABLE();
    __HAL_RCC_GPIOB_CLK_ENABLE();
}

#elif defined(STM32H743xx)
#include "stm32h7xx_hal.h"

/* NUCLEO-H743ZI: USART3 on PD8 and PD9. */
#define VAD_CHIP_SERIAL USART3
#define VAD_CHIP_SERIAL_IRQ USART3_IRQn
#define VAD_CHIP_SERIAL_HANDLER USART3_IRQHandler
#define VAD_CHIP_SERIAL_FUNCTION GPIO_AF7_USART3
#define VAD_CHIP_TX GPIOD, GPIO_PIN_8
#define VAD_CHIP_RX GPIOD, GPIO_PIN_9

static inline void vad_chip_clock_serial(void) {
    __HAL_RCC_USART3_CLK_ENABLE();
    __HAL_RCC_GPIOD_CLK_ENABLE();
}

#else
#error "add this chip's facts, and its clock beside vad_chip_*.c"
#endif

/* The serial port's state and data registers. Reading the state and then the data ends an overrun
 * on an STM32F4; later ones want to be told. */
#if defined(USART_ICR_ORECF)
#define VAD_CHIP_STATE ISR
#define VAD_CHIP_DATA RDR
#define VAD_CHIP_END_OVERRUN(serial) ((serial)->ICR = USART_ICR_ORECF)
#else
#define VAD_CHIP_STATE SR
#define VAD_CHIP_DATA DR
#define VAD_CHIP_END_OVERRUN(serial) ((void)(serial))
#endif

/* Full speed from the internal oscillator; false when the chip refuses. */
bool vad_chip_start_clock(void);

#endif
