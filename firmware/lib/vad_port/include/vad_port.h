/* What the firmware needs of its surroundings: bytes in, bytes out. One folder in ../src a port. */
#ifndef VAD_PORT_H
#define VAD_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Brings up clock and link. Called once, before anything else. Returns false when there is none. */
bool vad_port_open(void);

/* Waits for bytes and reads what has come: at least one, at most `room`. Returns their number; 0
 * when nothing will come any more, which a serial line never says. */
size_t vad_port_read(void *data, size_t room);

/* Writes exactly `bytes` bytes; false when they cannot be written. */
bool vad_port_write(const void *data, size_t bytes);

/* Bytes that are kept while nobody reads, so that the other side may send ahead; 0 where a byte
 * that is not awaited may be lost. UINT32_MAX where the sender is held back. */
uint32_t vad_port_receive_bytes(void);

/* Times that something came and was lost, because nothing could keep it; 0 where the sender is held
 * back. */
uint32_t vad_port_overruns(void);

/* Greatest number of stack bytes used so far, 0 where the port cannot tell. */
uint32_t vad_port_stack_used(void);

/* Ends the program where there is something to return to. */
void vad_port_close(void);

/* Markers: an emulator counts the instructions between them. They do nothing and are never inlined
 * or moved. */
void vad_port_region_begin(void);
void vad_port_region_end(void);

#endif
