/* An emulated board: where its working folder holds request.bin, that file in and response.bin out,
 * through semihosting; else the chip's serial port. */
#include "vad_port.h"

#include "../vad_stack.h"
#include "vad_semihost.h"
#include "vad_uart.h"

/* Ends of the stack, from the linker script. */
extern uint32_t vad_stack_bottom[];
extern uint32_t vad_stack_top[];

static intptr_t request = -1;
static intptr_t response = -1;

bool vad_port_open(void) {
    vad_stack_paint(vad_stack_bottom);
    request = vad_semihost_open("request.bin", false);
    if (request < 0) {
        vad_uart_open();
        vad_uart_open_sleep();
        return true;
    }
    response = vad_semihost_open("response.bin", true);
    return response >= 0;
}

size_t vad_port_read(void *data, size_t room) {
    uint8_t *to = data;
    size_t bytes = 0;
    if (request >= 0) {
        return vad_semihost_read(request, data, room);
    }
    while (!vad_uart_has_byte()) {
        vad_uart_sleep();
    }
    while (bytes < room && vad_uart_has_byte()) {
        to[bytes++] = vad_uart_take();
        vad_uart_woken();
    }
    return bytes;
}

bool vad_port_write(const void *data, size_t bytes) {
    const uint8_t *at = data;
    if (request >= 0) {
        return bytes == 0 || vad_semihost_write(response, data, bytes) == bytes;
    }
    for (size_t i = 0; i < bytes; i++) {
        while (!vad_uart_has_room()) {
        }
        vad_uart_put(at[i]);
    }
    return true;
}

/* A file waits, and so does the emulator with what comes for the serial port. */
uint32_t vad_port_receive_bytes(void) {
    return UINT32_MAX;
}

uint32_t vad_port_overruns(void) {
    return 0;
}

uint32_t vad_port_stack_used(void) {
    return vad_stack_used(vad_stack_bottom, vad_stack_top);
}

void vad_port_close(void) {
    vad_semihost_close(request);
    vad_semihost_close(response);
}
