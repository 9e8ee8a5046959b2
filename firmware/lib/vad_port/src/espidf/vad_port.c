/* ESP-IDF: the serial port that the board's USB bridge is wired to (UART0), 115200 8N1. */
#include "vad_port.h"

#include "driver/uart.h"
#include "freertos/FreeRTOS.h"
#include "freertos/queue.h"
#include "freertos/task.h"

#define LINK UART_NUM_0
#define RECEIVE_BYTES 4096
#define EVENTS 64 /* more than come until that many bytes are full */

static QueueHandle_t events;
static uint32_t overruns;

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
    return uart_driver_install(LINK, RECEIVE_BYTES, 0, EVENTS, &events, 0) == ESP_OK &&
           uart_param_config(LINK, &config) == ESP_OK;
}

/* The driver tells of bytes that it could not keep, and of much else. */
static void count_overruns(void) {
    uart_event_t event;
    while (xQueueReceive(events, &event, 0) == pdTRUE) {
        overruns += event.type == UART_FIFO_OVF;
    }
}

size_t vad_port_read(void *data, size_t room) {
    size_t buffered = 0;
    if (uart_read_bytes(LINK, data, 1, portMAX_DELAY) != 1) {
        return 0;
    }
    count_overruns();
    (void)uart_get_buffered_data_len(LINK, &buffered);
    const uint32_t more = (uint32_t)(buffered < room - 1 ? buffered : room - 1);
    const int got = uart_read_bytes(LINK, (uint8_t *)data + 1, more, 0);
    return 1u + (got > 0 ? (size_t)got : 0u);
}

bool vad_port_write(const void *data, size_t bytes) {
    return bytes == 0 || uart_write_bytes(LINK, data, bytes) == (int)bytes;
}

uint32_t vad_port_receive_bytes(void) {
    return RECEIVE_BYTES;
}

uint32_t vad_port_overruns(void) {
    return overruns;
}

uint32_t vad_port_stack_used(void) {
    /* In ESP-IDF the high-water mark is in bytes: what was never used. */
    return CONFIG_ESP_MAIN_TASK_STACK_SIZE - (uint32_t)uxTaskGetStackHighWaterMark(NULL);
}

void vad_port_close(void) {
}
