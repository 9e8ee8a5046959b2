/* What an interrupt has received and nobody has read yet: one writer, one reader, no lock. */
#ifndef VAD_RECEIVE_H
#define VAD_RECEIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VAD_RECEIVE_BYTES 1024u /* a power of two: the counts below may wrap */

typedef struct {
    volatile uint32_t put;      /* bytes so far; the interrupt's alone */
    volatile uint32_t taken;    /* bytes so far; the reader's alone */
    volatile uint32_t overruns; /* times that a byte had no place; the interrupt's alone */
    volatile uint8_t bytes[VAD_RECEIVE_BYTES];
} vad_receive_t;

/* The interrupt's side. */
static inline void vad_receive_put(vad_receive_t *received, uint8_t byte) {
    const uint32_t put = received->put;
    if (put - received->taken == VAD_RECEIVE_BYTES) {
        received->overruns++;
        return;
    }
    received->bytes[put % VAD_RECEIVE_BYTES] = byte;
    received->put = put + 1;
}

/* The reader's side: takes what there is, at most `room` bytes, and returns their number. */
static inline size_t vad_receive_take(vad_receive_t *received, uint8_t *to, size_t room) {
    const uint32_t first = received->taken;
    const uint32_t there = received->put - first;
    const uint32_t count = there < room ? there : (uint32_t)room;
    for (uint32_t i = 0; i < count; i++) {
        to[i] = received->bytes[(first + i) % VAD_RECEIVE_BYTES];
    }
    received->taken = first + count;
    return count;
}

static inline bool vad_receive_is_empty(const vad_receive_t *received) {
    return received->put == received->taken;
}

#endif
