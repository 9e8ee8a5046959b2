/* ESP-IDF: the serial port that the board's USB bridge is wired to (UART0), 115200 8N1. */
#include "vad_port.h"

#include "driver/uart.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

#define LINK UART_NUM_0
#define RECEIVE_BYTES 4096 /* more than one row of the input */
#define TIMEOUT pdMS_TO_TICKS(1000)

int main(void);
void app_main(void);

void app_main(void) {
    (void)main();
}

bool vad_port_open(void) {
    const uart_config_t config = {
        .baud_rate = 115200,
        .data_bits = UART_DATA_8_BITS,
        .parity = UART_PARITY_DISABLE,
        .stop_bits = UART_STOP_BITS_1,
        .flow_ctrl = UART_HW_FLOWCTRL_DISABLE,
        .source_clk = UART_SCLK_DEFAULT,
    };
    /* The pins are those of the boot loader. */
    return uart_driver_install(LINK, RECEIVE_BYTES, 0, 0, NULL, 0) == ESP_OK &&
           uart_param_config(LINK, &config) == ESP_OK;
}

/* Fails when a second passes without a byte: the other side is gone, or has nothing to say. */
bool vad_port_read(void *data, size_t bytes) {
    uint8_t *at = data;
    while (bytes > 0) {
        const uint32_t wanted = bytes < RECEIVE_BYTES ? (uint32_t)bytes : RECEIVE_BYTES;
        const int got = uart_read_bytes(LINK, at, wanted, TIMEOUT);
        if (got <= 0) {
            return false;
        }
        at += got;
        bytes -= (size_t)got;
    }
    return true;
}

bool vad_port_write(const void *data, size_t bytes) {
    return bytes == 0 || uart_write_bytes(LINK, data, bytes) == (int)bytes;
}

bool vad_port_is_link(void) {
    return true;
}

uint32_t vad_port_stack_used(void) {
    /* In ESP-IDF the high-water mark is in bytes: what was never used. */
    return CONFIG_ESP_MAIN_TASK_STACK_SIZE - (uint32_t)uxTaskGetStackHighWaterMark(NULL);
}

void vad_port_close(void) {
}
