/* A session over a model whose score is the CRC-32 of the image: one wrong byte and it is another.
 * As a shared library it is driven from Python; with VAD_FUZZ it is libFuzzer's target. */
#include "vad_crc32.h"
#include "vad_session.h"

#include <stdlib.h>
#include <string.h>

enum { HEIGHT = 11, WIDTH = 7, CHANNELS = 3, ROW_BYTES = WIDTH * CHANNELS, CELLS = 6 };
enum { REFUSED_BYTE = 255 };

static uint32_t crc;
static uint32_t rows;
static uint32_t cells[CELLS];
static const vad_observer_t *observer;
static uint32_t receive_bytes = UINT32_MAX;
static vad_session_t session;
static uint8_t
    *frame; /* of its exact size on the heap, so that a sanitizer sees each byte beyond */
static uint8_t answers[1 << 20];
static size_t n_answers;

static void begin(const vad_observer_t *given) {
    observer = given;
    crc = 0;
    rows = 0;
    memset(cells, 0, sizeof cells);
}

/* An image whose first byte is REFUSED_BYTE is refused. Output 0: every row; output 1: every other.
 */
static vad_status_t feed_row(const uint8_t *row) {
    int8_t out[ROW_BYTES];
    if (rows == HEIGHT || (rows == 0 && row[0] == REFUSED_BYTE)) {
        return VAD_ERROR_STATE;
    }
    crc = vad_crc32(crc, row, ROW_BYTES);
    cells[rows % CELLS] += crc;
    for (size_t i = 0; i < ROW_BYTES; i++) {
        out[i] = (int8_t)(row[i] - 128);
    }
    if (observer != NULL) {
        observer->row(observer->user, 0, (int32_t)rows, out, ROW_BYTES);
    }
    if (observer != NULL && rows % 2 == 0) {
        observer->row(observer->user, 1, (int32_t)rows / 2, out, WIDTH);
    }
    rows++;
    return VAD_OK;
}

static vad_status_t result(vad_result_t *answer) {
    if (rows != HEIGHT) {
        return VAD_ERROR_STATE;
    }
    *answer = (vad_result_t){.score = crc, .cells = cells};
    return VAD_OK;
}

static uint32_t may_send_ahead(void) {
    return receive_bytes;
}

static uint32_t overruns(void) {
    return 7;
}

static uint32_t stack_used(void) {
    return 123;
}

static bool keep(const void *data, size_t bytes) {
    if (bytes > sizeof answers - n_answers) {
        return false;
    }
    memcpy(answers + n_answers, data, bytes);
    n_answers += bytes;
    return true;
}

static const uint32_t tests[] = {0x01020304u, 0x05060708u};

static const vad_session_model_t model = {
    .identity =
        {
            .board = "by hand",
            .firmware = "0",
            .model = {9, 8, 7},
            .shipped_threshold = 1u << 31,
            .row_bytes = ROW_BYTES,
            .height = HEIGHT,
            .width = WIDTH,
            .channels = CHANNELS,
            .n_outputs = 2,
            .cell_rows = 2,
            .cell_cols = 3,
            .abi = VAD_ABI,
            .n_tests = 2,
        },
    .tests = tests,
    .begin = begin,
    .feed_row = feed_row,
    .result = result,
    .receive_bytes = may_send_ahead,
    .overruns = overruns,
    .stack_used = stack_used,
    .write = keep,
};

/* Powers the device on; `ahead` is what it keeps while it does not read. */
void test_power_on(uint32_t ahead);
/* Takes bytes, leaves the answers in `*to` and returns their number. */
size_t test_take(const uint8_t *data, size_t bytes, const uint8_t **to);
/* Tells a score of the device's own. */
size_t test_report(uint32_t score, const uint8_t **to);

void test_power_on(uint32_t ahead) {
    receive_bytes = ahead;
    free(frame);
    frame = malloc(VAD_SESSION_FRAME_BYTES(ROW_BYTES));
    vad_session_open(&session, &model, frame);
}

size_t test_take(const uint8_t *data, size_t bytes, const uint8_t **to) {
    n_answers = 0;
    vad_session_take(&session, data, bytes);
    *to = answers;
    return n_answers;
}

size_t test_report(uint32_t score, const uint8_t **to) {
    n_answers = 0;
    vad_session_report(&session, score);
    *to = answers;
    return n_answers;
}

#if defined(VAD_FUZZ)
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Frames one after another as in the corpus, each behind its length: their CRCs are made right, so
 * that the fuzzer gets past them. Bytes behind a length of 255 are taken as they are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    test_power_on(bytes > 0 ? data[0] * 64u : 0u);
    vad_frame_writer_t writer = {.write = keep};
    const uint8_t *to;
    for (size_t at = 1; at < bytes;) {
        const size_t wanted = data[at++];
        const size_t left = bytes - at;
        const size_t length = wanted < left ? wanted : left;
        if (wanted == 255 || length < 3) {
            (void)test_take(data + at, length, &to);
        } else {
            static uint8_t framed[2048];
            n_answers = 0;
            vad_frame_begin(&writer, data[at], (uint16_t)(data[at + 1] | data[at + 2] << 8));
            vad_frame_put(&writer, data + at + 3, length - 3);
            (void)vad_frame_end(&writer);
            memcpy(framed, answers, n_answers);
            (void)test_take(framed, n_answers, &to);
        }
        at += length;
    }
    return 0;
}
#endif
