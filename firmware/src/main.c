/* The firmware: the port's bytes go to the session, which drives the model; see docs/link.md. */
#include "vad_identity.h"
#include "vad_model.h"
#include "vad_port.h"
#include "vad_session.h"

enum { EXIT_DONE = 0, EXIT_NO_PORT = 1, EXIT_UNFINISHED = 2, EXIT_WRITE = 3 };

#define ROW_BYTES (VAD_MODEL_INPUT_WIDTH * VAD_MODEL_INPUT_CHANNELS)
#define PIECE_BYTES 64 /* of the port's bytes, at a time */

/* So that the row in the frame has the alignment of the frame. */
#define FRAME_OFFSET (16 - (VAD_LINK_HEAD_BYTES + VAD_LINK_ROW_BYTES) % 16)

static _Alignas(16) VAD_MODEL_ARENA_PLACE uint8_t vad_arena[VAD_MODEL_ARENA_BYTES];
#if VAD_MODEL_DETECTOR_BYTES > 0
static _Alignas(16) VAD_MODEL_DETECTOR_PLACE uint8_t vad_detector[VAD_MODEL_DETECTOR_BYTES];
#else
#define vad_detector NULL
#endif
static _Alignas(16) uint8_t vad_frame[FRAME_OFFSET + VAD_SESSION_FRAME_BYTES(ROW_BYTES)];
static vad_model_t vad_state;
static vad_session_t vad_session;

static const vad_observer_t *sent_to;

/* Called from inside the model: what is done with the row does not belong to the counted region. */
static void send_row(void *user, int32_t output, int32_t y, const int8_t *data, size_t bytes) {
    (void)user;
    vad_port_region_end();
    sent_to->row(sent_to->user, output, y, data, bytes);
    vad_port_region_begin();
}

static void begin_image(const vad_observer_t *observer) {
    static const vad_observer_t uncounted = {send_row, NULL};
    sent_to = observer;
    vad_port_region_begin();
    vad_model_begin(&vad_state, vad_arena, vad_detector, observer != NULL ? &uncounted : NULL);
    vad_port_region_end();
}

static vad_status_t feed_row(const uint8_t *row) {
    vad_port_region_begin();
    const vad_status_t status = vad_model_feed_row(&vad_state, row);
    vad_port_region_end();
    return status;
}

static vad_status_t read_result(vad_result_t *result) {
#if VAD_MODEL_CELL_ROWS > 0
    vad_port_region_begin();
    const vad_status_t status = vad_model_result(&vad_state, result);
    vad_port_region_end();
    return status;
#else
    (void)result;
    return VAD_OK;
#endif
}

static const uint32_t tests[] = VAD_IDENTITY_TESTS;

static const vad_session_model_t model = {
    .identity =
        {
            .board = VAD_IDENTITY_BOARD,
            .firmware = VAD_IDENTITY_FIRMWARE,
            .model = VAD_IDENTITY_MODEL,
#if VAD_MODEL_CELL_ROWS > 0
            .shipped_threshold = VAD_MODEL_THRESHOLD,
#endif
            .row_bytes = ROW_BYTES,
            .height = VAD_MODEL_INPUT_HEIGHT,
            .width = VAD_MODEL_INPUT_WIDTH,
            .channels = VAD_MODEL_INPUT_CHANNELS,
            .n_outputs = VAD_MODEL_N_OUTPUTS,
            .cell_rows = VAD_MODEL_CELL_ROWS,
            .cell_cols = VAD_MODEL_CELL_COLS,
            .abi = VAD_ABI,
            .n_tests = VAD_IDENTITY_N_TESTS,
        },
    .tests = tests,
    .begin = begin_image,
    .feed_row = feed_row,
    .result = read_result,
    .receive_bytes = vad_port_receive_bytes,
    .overruns = vad_port_overruns,
    .stack_used = vad_port_stack_used,
    .write = vad_port_write,
};

/* Returns where the bytes end, which on a serial line they never do. */
static int run(void) {
    uint8_t piece[PIECE_BYTES];
    size_t bytes;
    vad_session_open(&vad_session, &model, vad_frame + FRAME_OFFSET);
    while ((bytes = vad_port_read(piece, sizeof piece)) > 0) {
        vad_session_take(&vad_session, piece, bytes);
    }
    if (vad_session.write_failed) {
        return EXIT_WRITE;
    }
    return vad_session.state == VAD_SESSION_ROWS ? EXIT_UNFINISHED : EXIT_DONE;
}

int main(void) {
    const int code = vad_port_open() ? run() : EXIT_NO_PORT;
    vad_port_close();
    return code;
}
