/* An emulated board: where its working folder holds request.bin, that file in and response.bin out,
 * through semihosting; else the chip's serial port. */
#include "vad_port.h"

#include "../vad_stack.h"
#include "vad_semihost.h"
#include "vad_uart.h"

/* Ends of the stack, from the linker script. */
extern uint32_t vad_stack_bottom[];
extern uint32_t vad_stack_top[];

enum { MODE_READ = 1, MODE_WRITE = 5 }; /* "rb" and "wb" */

static intptr_t request = -1;
static intptr_t response = -1;

static intptr_t open_file(const char *name, uint32_t length, uint32_t mode) {
    const uintptr_t block[3] = {(uintptr_t)name, mode, length};
    return vad_semihost(VAD_SEMIHOST_OPEN, block);
}

/* SYS_READ and SYS_WRITE return the number of bytes that were not transferred. */
static size_t transfer(uintptr_t operation, intptr_t file, uintptr_t data, size_t bytes) {
    const uintptr_t block[3] = {(uintptr_t)file, data, bytes};
    return bytes - (size_t)vad_semihost(operation, block);
}

bool vad_port_open(void) {
    vad_stack_paint(vad_stack_bottom);
    request = open_file("request.bin", 11, MODE_READ);
    if (request < 0) {
        vad_uart_open();
        vad_uart_open_sleep();
        return true;
    }
    response = open_file("response.bin", 12, MODE_WRITE);
    return response >= 0;
}

size_t vad_port_read(void *data, size_t room) {
    uint8_t *to = data;
    size_t bytes = 0;
    if (request >= 0) {
        return transfer(VAD_SEMIHOST_READ, request, (uintptr_t)data, room);
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
        return bytes == 0 ||
               transfer(VAD_SEMIHOST_WRITE, response, (uintptr_t)data, bytes) == bytes;
    }
    for (size_t i = 0; i < bytes; i++) {
        while (!vad_uart_has_room()) {
        }
        VAD_UART_DATA = at[i];
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
    const uintptr_t files[2] = {(uintptr_t)request, (uintptr_t)response};
    (void)vad_semihost(VAD_SEMIHOST_CLOSE, &files[0]);
    (void)vad_semihost(VAD_SEMIHOST_CLOSE, &files[1]);
}
