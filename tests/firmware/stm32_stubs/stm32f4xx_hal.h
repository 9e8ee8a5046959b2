/* The part of ST's HAL for an STM32F405 that the port uses, on the registers that QEMU emulates:
 * clocks and pins, which it does not, are taken as they are. */
#pragma once
#include <stdint.h>

typedef enum { HAL_OK = 0, HAL_ERROR = 1 } HAL_StatusTypeDef;

/* Clock. */
enum { RCC_OSCILLATORTYPE_HSI = 2, RCC_HSI_ON = 1, RCC_HSICALIBRATION_DEFAULT = 16 };
enum { RCC_PLL_ON = 2, RCC_PLLSOURCE_HSI = 0, RCC_PLLP_DIV2 = 2, RCC_SYSCLKSOURCE_PLLCLK = 2 };
enum { RCC_CLOCKTYPE_SYSCLK = 1, RCC_CLOCKTYPE_HCLK = 2, RCC_CLOCKTYPE_PCLK1 = 4 };
enum { RCC_CLOCKTYPE_PCLK2 = 8, RCC_SYSCLK_DIV1 = 0, RCC_HCLK_DIV4 = 0x1400, RCC_HCLK_DIV2 = 4096 };
enum { FLASH_LATENCY_5 = 5 };
typedef struct {
    uint32_t PLLState, PLLSource, PLLM, PLLN, PLLP, PLLQ;
} RCC_PLLInitTypeDef;
typedef struct {
    uint32_t OscillatorType, HSIState, HSICalibrationValue;
    RCC_PLLInitTypeDef PLL;
} RCC_OscInitTypeDef;
typedef struct {
    uint32_t ClockType, SYSCLKSource, AHBCLKDivider, APB1CLKDivider, APB2CLKDivider;
} RCC_ClkInitTypeDef;
#define __HAL_RCC_PWR_CLK_ENABLE()
#define __HAL_PWR_VOLTAGESCALING_CONFIG(scale)
#define __HAL_RCC_USART1_CLK_ENABLE()
#define __HAL_RCC_GPIOA_CLK_ENABLE()
HAL_StatusTypeDef HAL_RCC_OscConfig(const RCC_OscInitTypeDef *oscillator);
HAL_StatusTypeDef HAL_RCC_ClockConfig(const RCC_ClkInitTypeDef *clock, uint32_t latency);
HAL_StatusTypeDef HAL_Init(void);
void HAL_IncTick(void);

/* Pins. */
typedef struct {
    uint32_t MODER;
} GPIO_TypeDef;
typedef struct {
    uint32_t Pin, Mode, Pull, Speed, Alternate;
} GPIO_InitTypeDef;
#define GPIOA ((GPIO_TypeDef *)0x40020000)
enum { GPIO_PIN_9 = 512, GPIO_PIN_10 = 1024, GPIO_MODE_AF_PP = 2, GPIO_PULLUP = 1 };
enum { GPIO_SPEED_FREQ_HIGH = 2, GPIO_AF7_USART1 = 7 };
void HAL_GPIO_Init(GPIO_TypeDef *group, const GPIO_InitTypeDef *pins);

/* Serial port. */
typedef struct {
    volatile uint32_t SR, DR, BRR, CR1, CR2, CR3;
} USART_TypeDef;
typedef struct {
    uint32_t BaudRate, WordLength, StopBits, Parity, Mode, HwFlowCtl, OverSampling;
} UART_InitTypeDef;
typedef struct {
    USART_TypeDef *Instance;
    UART_InitTypeDef Init;
} UART_HandleTypeDef;
#define USART1 ((USART_TypeDef *)0x40011000)
#define HAL_MAX_DELAY UINT32_MAX
enum { UART_WORDLENGTH_8B = 0, UART_STOPBITS_1 = 0, UART_PARITY_NONE = 0, UART_MODE_TX_RX = 12 };
enum { UART_HWCONTROL_NONE = 0, UART_OVERSAMPLING_16 = 0 };
#define UART_FLAG_ORE 0x08u
#define UART_FLAG_RXNE 0x20u
#define UART_FLAG_TXE 0x80u
#define UART_IT_RXNE 0x20u
#define __HAL_UART_ENABLE_IT(serial, interrupt) ((serial)->Instance->CR1 |= (interrupt))
HAL_StatusTypeDef HAL_UART_Init(UART_HandleTypeDef *serial);
HAL_StatusTypeDef HAL_UART_Transmit(UART_HandleTypeDef *serial, const uint8_t *data, uint16_t bytes,
                                    uint32_t timeout);

/* Core. */
typedef enum { USART1_IRQn = 37 } IRQn_Type;
void HAL_NVIC_SetPriority(IRQn_Type number, uint32_t priority, uint32_t sub_priority);
void HAL_NVIC_EnableIRQ(IRQn_Type number);
#define __disable_irq() __asm__ volatile("cpsid i" ::: "memory")
#define __enable_irq() __asm__ volatile("cpsie i" ::: "memory")
#define __WFI() __asm__ volatile("wfi" ::: "memory")
