/* Files in the working directory: request.bin in, response.bin out. */
#include "vad_port.h"

#include <stdio.h>

static FILE *request;
static FILE *response;

bool vad_port_open(void) {
    request = fopen("request.bin", "rb");
    response = fopen("response.bin", "wb");
    return request != NULL && response != NULL;
}

size_t vad_port_read(void *data, size_t room) {
    return fread(data, 1, room, request);
}

bool vad_port_write(const void *data, size_t bytes) {
    return fwrite(data, 1, bytes, response) == bytes;
}

uint32_t vad_port_receive_bytes(void) {
    return UINT32_MAX;
}

uint32_t vad_port_overruns(void) {
    return 0;
}

uint32_t vad_port_stack_used(void) {
    return 0;
}

void vad_port_close(void) {
    if (request != NULL) {
        (void)fclose(request);
    }
    if (response != NULL) {
        (void)fclose(response);
    }
}
