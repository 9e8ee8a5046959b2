/* What differs between the chips and their boards: the clock, and the pins of the serial port. */
#ifndef VAD_CHIP_H
#define VAD_CHIP_H

#include <stdbool.h>

#if defined(STM32H743xx)
#include "stm32h7xx_hal.h"
#elif defined(STM32F746xx)
#include "stm32f7xx_hal.h"
#elif defined(STM32F405xx)
#include "stm32f4xx_hal.h"
#else
#error "add vad_chip_... for this chip"
#endif

/* Full speed from the internal oscillator; false when the chip refuses. */
bool vad_chip_start_clock(void);

/* Connects the serial port's pins and clock; returns the port. */
USART_TypeDef *vad_chip_start_pins(void);

#endif
