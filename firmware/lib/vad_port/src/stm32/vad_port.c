/* STM32 with ST's HAL: the virtual serial port of the board's ST-LINK, 115200 8N1.
 *
 * Clocks come from the internal oscillator, so that no crystal of the board matters. */
#include "vad_port.h"

#include "../vad_stack.h"

#if defined(STM32H743xx)
#include "stm32h7xx_hal.h"
#elif defined(STM32F746xx)
#include "stm32f7xx_hal.h"
#else
#error "add the clock and the pins of this chip's board"
#endif

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

#if defined(STM32H743xx)
/* 64 MHz / 4 * 50 / 2 = 400 MHz core, 200 MHz AXI, 100 MHz APB. */
static bool start_clock(void) {
    RCC_OscInitTypeDef oscillator = {0};
    RCC_ClkInitTypeDef clock = {0};
    if (HAL_PWREx_ConfigSupply(PWR_LDO_SUPPLY) != HAL_OK) {
        return false;
    }
    __HAL_PWR_VOLTAGESCALING_CONFIG(PWR_REGULATOR_VOLTAGE_SCALE1);
    while (!__HAL_PWR_GET_FLAG(PWR_FLAG_VOSRDY)) {
    }
    oscillator.OscillatorType = RCC_OSCILLATORTYPE_HSI;
    oscillator.HSIState = RCC_HSI_DIV1;
    oscillator.HSICalibrationValue = RCC_HSICALIBRATION_DEFAULT;
    oscillator.PLL.PLLState = RCC_PLL_ON;
    oscillator.PLL.PLLSource = RCC_PLLSOURCE_HSI;
    oscillator.PLL.PLLM = 4;
    oscillator.PLL.PLLN = 50;
    oscillator.PLL.PLLP = 2;
    oscillator.PLL.PLLQ = 8;
    oscillator.PLL.PLLR = 2;
    oscillator.PLL.PLLRGE = RCC_PLL1VCIRANGE_3;
    oscillator.PLL.PLLVCOSEL = RCC_PLL1VCOWIDE;
    clock.ClockType = RCC_CLOCKTYPE_SYSCLK | RCC_CLOCKTYPE_HCLK | RCC_CLOCKTYPE_D1PCLK1 |
                      RCC_CLOCKTYPE_PCLK1 | RCC_CLOCKTYPE_PCLK2 | RCC_CLOCKTYPE_D3PCLK1;
    clock.SYSCLKSource = RCC_SYSCLKSOURCE_PLLCLK;
    clock.SYSCLKDivider = RCC_SYSCLK_DIV1;
    clock.AHBCLKDivider = RCC_HCLK_DIV2;
    clock.APB1CLKDivider = RCC_APB1_DIV2;
    clock.APB2CLKDivider = RCC_APB2_DIV2;
    clock.APB3CLKDivider = RCC_APB3_DIV2;
    clock.APB4CLKDivider = RCC_APB4_DIV2;
    return HAL_RCC_OscConfig(&oscillator) == HAL_OK &&
           HAL_RCC_ClockConfig(&clock, FLASH_LATENCY_4) == HAL_OK;
}

/* NUCLEO-H743ZI: USART3 on PD8 and PD9. */
static void start_pins(void) {
    __HAL_RCC_USART3_CLK_ENABLE();
    __HAL_RCC_GPIOD_CLK_ENABLE();
    GPIO_InitTypeDef pins = {0};
    pins.Pin = GPIO_PIN_8 | GPIO_PIN_9;
    pins.Mode = GPIO_MODE_AF_PP;
    pins.Pull = GPIO_PULLUP;
    pins.Speed = GPIO_SPEED_FREQ_HIGH;
    pins.Alternate = GPIO_AF7_USART3;
    HAL_GPIO_Init(GPIOD, &pins);
    serial.Instance = USART3;
}
#else
/* 16 MHz / 8 * 216 / 2 = 216 MHz core, 54 and 108 MHz APB. */
static bool start_clock(void) {
    RCC_OscInitTypeDef oscillator = {0};
    RCC_ClkInitTypeDef clock = {0};
    __HAL_RCC_PWR_CLK_ENABLE();
    __HAL_PWR_VOLTAGESCALING_CONFIG(PWR_REGULATOR_VOLTAGE_SCALE1);
    oscillator.OscillatorType = RCC_OSCILLATORTYPE_HSI;
    oscillator.HSIState = RCC_HSI_ON;
    oscillator.HSICalibrationValue = RCC_HSICALIBRATION_DEFAULT;
    oscillator.PLL.PLLState = RCC_PLL_ON;
    oscillator.PLL.PLLSource = RCC_PLLSOURCE_HSI;
    oscillator.PLL.PLLM = 8;
    oscillator.PLL.PLLN = 216;
    oscillator.PLL.PLLP = RCC_PLLP_DIV2;
    oscillator.PLL.PLLQ = 9;
    clock.ClockType =
        RCC_CLOCKTYPE_SYSCLK | RCC_CLOCKTYPE_HCLK | RCC_CLOCKTYPE_PCLK1 | RCC_CLOCKTYPE_PCLK2;
    clock.SYSCLKSource = RCC_SYSCLKSOURCE_PLLCLK;
    clock.AHBCLKDivider = RCC_SYSCLK_DIV1;
    clock.APB1CLKDivider = RCC_HCLK_DIV4;
    clock.APB2CLKDivider = RCC_HCLK_DIV2;
    return HAL_RCC_OscConfig(&oscillator) == HAL_OK && HAL_PWREx_EnableOverDrive() == HAL_OK &&
           HAL_RCC_ClockConfig(&clock, FLASH_LATENCY_7) == HAL_OK;
}

/* 32F746GDISCOVERY: USART1 on PA9 and PB7. */
static void start_pins(void) {
    __HAL_RCC_USART1_CLK_ENABLE();
    __HAL_RCC_GPIOA_CLK_ENABLE();
    __HAL_RCC_GPIOB_CLK_ENABLE();
    GPIO_InitTypeDef pins = {0};
    pins.Pin = GPIO_PIN_9;
    pins.Mode = GPIO_MODE_AF_PP;
    pins.Pull = GPIO_PULLUP;
    pins.Speed = GPIO_SPEED_FREQ_HIGH;
    pins.Alternate = GPIO_AF7_USART1;
    HAL_GPIO_Init(GPIOA, &pins);
    pins.Pin = GPIO_PIN_7;
    HAL_GPIO_Init(GPIOB, &pins);
    serial.Instance = USART1;
}
#endif

bool vad_port_open(void) {
    vad_stack_paint(vad_stack_bottom);
    SCB_EnableICache();
    SCB_EnableDCache();
    if (HAL_Init() != HAL_OK || !start_clock()) {
        return false;
    }
    start_pins();
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
