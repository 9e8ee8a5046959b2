/* The device's side of the link: requests in, answers out, one image at a time.
 *
 * Nothing waits and nothing times out: the state changes only when a frame has come whole, so a
 * host that dies in the middle leaves nothing behind that the next one's `Begin` does not end. */
#ifndef VAD_SESSION_H
#define VAD_SESSION_H

#include "vad_frame.h"
#include "vad_link_messages.h"
#include "vad_types.h"

/* Bytes of the buffer in which frames with rows of `row_bytes` bytes are received. */
#define VAD_SESSION_FRAME_BYTES(row_bytes)                                                         \
    (VAD_LINK_HEAD_BYTES + VAD_LINK_CRC_BYTES +                                                    \
     ((row_bytes) + VAD_LINK_ROW_BYTES > VAD_LINK_REQUEST_BYTES ? (row_bytes) + VAD_LINK_ROW_BYTES \
                                                                : VAD_LINK_REQUEST_BYTES))

/* What a session drives. */
typedef struct {
    /* `threshold` and `window` are the session's to fill in. */
    vad_link_identity_t identity;
    const uint32_t *tests;                         /* expected digests of the built-in images */
    void (*begin)(const vad_observer_t *observer); /* NULL: the outputs' rows are not wanted */
    vad_status_t (*feed_row)(const uint8_t *row);
    vad_status_t (*result)(vad_result_t *result); /* not called without cells */
    uint32_t (*receive_bytes)(void);              /* as vad_port_receive_bytes */
    uint32_t (*overruns)(void);                   /* as vad_port_overruns */
    uint32_t (*stack_used)(void);                 /* as vad_port_stack_used */
    bool (*write)(const void *data, size_t bytes);
} vad_session_model_t;

typedef enum { VAD_SESSION_IDLE, VAD_SESSION_ROWS, VAD_SESSION_DONE } vad_session_state_t;

typedef struct {
    const vad_session_model_t *model;
    vad_frame_reader_t reader;
    vad_frame_writer_t writer;
    vad_observer_t observer;
    vad_link_counters_t counters;
    vad_result_t result;
    vad_session_state_t state;
    uint32_t threshold;
    uint32_t job;
    uint32_t outputs; /* sum over the outputs' rows of a self-test */
    uint16_t sequence;
    uint16_t next_row;
    bool write_failed;
} vad_session_t;

/* frame: VAD_SESSION_FRAME_BYTES(row bytes) bytes; a row lies 12 bytes behind its start. */
void vad_session_open(vad_session_t *session, const vad_session_model_t *model, uint8_t *frame);

/* Takes bytes as they come, and answers each frame that ends in them. */
void vad_session_take(vad_session_t *session, const uint8_t *data, size_t bytes);

/* Tells a score that nobody asked for, of an image of the firmware's own (a camera's). */
void vad_session_report(vad_session_t *session, uint32_t score);

#endif
