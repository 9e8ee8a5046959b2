/* Frames: a zero, the COBS code of head, message and CRC-32, and a zero. No other byte of a frame
 * is zero, so a reader that lost its place finds the next frame. Python twin: link/frames.py. */
#ifndef VAD_FRAME_H
#define VAD_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    VAD_FRAME_NONE,     /* nothing ended */
    VAD_FRAME_WHOLE,    /* head and message lie in `data`, `used` bytes with the CRC */
    VAD_FRAME_DAMAGED,  /* something ended that was no frame */
    VAD_FRAME_TOO_LONG, /* something ended that did not fit */
} vad_frame_event_t;

typedef struct {
    uint8_t *data; /* the caller's */
    uint32_t room;
    uint32_t used;
    uint8_t left;   /* bytes until the next code byte */
    bool owes_zero; /* the block before ends in a zero, unless it was the last */
    bool has_begun;
    bool is_ended;
    bool is_skipping; /* did not fit: nothing is kept until the frame ends */
} vad_frame_reader_t;

/* Starts reading into `data`, which the reader owns until a frame is whole. */
void vad_frame_read(vad_frame_reader_t *reader, uint8_t *data, uint32_t room);

/* Takes the next byte. After VAD_FRAME_WHOLE the frame stays until the next call. */
vad_frame_event_t vad_frame_push(vad_frame_reader_t *reader, uint8_t byte);

/* Twice the greatest block, so that few are written one by one. */
#define VAD_FRAME_BLOCK_BYTES 512

typedef struct {
    bool (*write)(const void *data, size_t bytes);
    uint32_t crc;
    uint16_t code_at; /* where the open block's code byte will stand */
    uint16_t used;
    bool ok;
    uint8_t block[VAD_FRAME_BLOCK_BYTES];
} vad_frame_writer_t;

/* A frame is begun, takes its message in as many pieces as its sender likes, and is ended; `write`
 * sees pieces of it in between. */
void vad_frame_begin(vad_frame_writer_t *writer, uint8_t kind, uint16_t sequence);
void vad_frame_put(vad_frame_writer_t *writer, const void *data, size_t bytes);

/* Returns whether `write` took all of it. */
bool vad_frame_end(vad_frame_writer_t *writer);

#endif
