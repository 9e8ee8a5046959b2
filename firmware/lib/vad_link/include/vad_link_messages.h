/* Rendered by tools/renew_link.py from python/vadgen/link/messages.py. Do not edit.
 *
 * Messages of the link, little-endian and naturally aligned; docs/link.md tells the protocol. */
#ifndef VAD_LINK_MESSAGES_H
#define VAD_LINK_MESSAGES_H

#include <stdint.h>

/* clang-format off */

#define VAD_LINK_VERSION 1
#define VAD_LINK_BAUD 115200
#define VAD_LINK_HEAD_BYTES 4 /* uint8_t version, uint8_t kind, uint16_t sequence */
#define VAD_LINK_CRC_BYTES 4
#define VAD_LINK_MAX_WINDOW 8

/* What vad_link_begin_t asks for beside the result. */
#define VAD_LINK_WANT_OUTPUTS 1u

/* Why a request was refused. */
typedef enum {
    VAD_LINK_CODE_DAMAGED = 1, /* a frame came damaged */
    VAD_LINK_CODE_TOO_LONG = 2, /* a frame was longer than the device takes */
    VAD_LINK_CODE_VERSION = 3, /* the device speaks another version of the link */
    VAD_LINK_CODE_KIND = 4, /* the device does not know this kind of message */
    VAD_LINK_CODE_LENGTH = 5, /* a message has a length that its kind does not allow */
    VAD_LINK_CODE_JOB = 6, /* the device is not working on this image */
    VAD_LINK_CODE_UNFINISHED = 7, /* rows of the image are still missing */
    VAD_LINK_CODE_RANGE = 8, /* a number in the message is out of range */
    VAD_LINK_CODE_MODEL = 9, /* the model refused an image */
} vad_link_code_t;

typedef enum {
    VAD_LINK_HELLO = 0x01,
    VAD_LINK_BEGIN = 0x02,
    VAD_LINK_ROW = 0x03,
    VAD_LINK_QUERY = 0x04,
    VAD_LINK_GET_CELLS = 0x05,
    VAD_LINK_SET_THRESHOLD = 0x06,
    VAD_LINK_GET_COUNTERS = 0x07,
    VAD_LINK_SELF_TEST = 0x08,
    VAD_LINK_ABORT = 0x09,
    VAD_LINK_RESET = 0x0A,
    VAD_LINK_IDENTITY = 0x81,
    VAD_LINK_NEXT = 0x82,
    VAD_LINK_OUTPUT = 0x83,
    VAD_LINK_RESULT = 0x84,
    VAD_LINK_CELLS = 0x85,
    VAD_LINK_THRESHOLD = 0x86,
    VAD_LINK_COUNTERS = 0x87,
    VAD_LINK_SELF_TESTED = 0x88,
    VAD_LINK_READY = 0x89,
    VAD_LINK_REFUSED = 0x8F,
} vad_link_kind_t;

/* Asks who is there; answered by `Identity`. */
#define VAD_LINK_HELLO_BYTES 0

/* Starts an image under a number of the host's choice; answered by `Next`. The same number again
 * starts nothing: it is answered as `Query` is. */
typedef struct {
    uint32_t job;
    uint32_t wants;
} vad_link_begin_t;
_Static_assert(sizeof(vad_link_begin_t) == 8, "no padding");
#define VAD_LINK_BEGIN_BYTES 8

/* Row `y` of the input; answered by `Next`, after the last row by `Result`. */
typedef struct {
    uint32_t job;
    uint16_t y;
    uint16_t zero;
} vad_link_row_t;
_Static_assert(sizeof(vad_link_row_t) == 8, "no padding");
#define VAD_LINK_ROW_BYTES 8 /* then data */

/* Asks how far an image is; answered by `Next` or `Result`. */
typedef struct {
    uint32_t job;
} vad_link_query_t;
_Static_assert(sizeof(vad_link_query_t) == 4, "no padding");
#define VAD_LINK_QUERY_BYTES 4

/* Asks for scores of `count` cells, or as many as there are; answered by `Cells`. */
typedef struct {
    uint32_t job;
    uint32_t first;
    uint32_t count;
} vad_link_get_cells_t;
_Static_assert(sizeof(vad_link_get_cells_t) == 12, "no padding");
#define VAD_LINK_GET_CELLS_BYTES 12

/* Sets the score above which an image is anomalous; answered by `Threshold`. */
typedef struct {
    uint32_t value;
} vad_link_set_threshold_t;
_Static_assert(sizeof(vad_link_set_threshold_t) == 4, "no padding");
#define VAD_LINK_SET_THRESHOLD_BYTES 4

/* Asks for the counters; answered by `Counters`. */
#define VAD_LINK_GET_COUNTERS_BYTES 0

/* Runs a built-in image; answered by `SelfTested`. An unfinished image is dropped. */
typedef struct {
    uint32_t index;
} vad_link_self_test_t;
_Static_assert(sizeof(vad_link_self_test_t) == 4, "no padding");
#define VAD_LINK_SELF_TEST_BYTES 4

/* Drops the image; answered by `Ready`. */
#define VAD_LINK_ABORT_BYTES 0

/* As after power-on: no image, the shipped threshold, counters 0; answered by `Ready`. */
#define VAD_LINK_RESET_BYTES 0

/* Who the device is and what it takes. */
typedef struct {
    char board[32];
    char firmware[16];
    uint8_t model[32];
    uint32_t threshold;
    uint32_t shipped_threshold;
    uint32_t row_bytes;
    uint16_t height;
    uint16_t width;
    uint16_t channels;
    uint16_t n_outputs;
    uint16_t cell_rows;
    uint16_t cell_cols;
    uint16_t abi;
    uint16_t window;
    uint16_t n_tests;
    uint16_t zero;
} vad_link_identity_t;
_Static_assert(sizeof(vad_link_identity_t) == 112, "no padding");
#define VAD_LINK_IDENTITY_BYTES 112

/* Row `y` is the next that is taken; rows below `until` may be sent. */
typedef struct {
    uint32_t job;
    uint16_t y;
    uint16_t until;
} vad_link_next_t;
_Static_assert(sizeof(vad_link_next_t) == 8, "no padding");
#define VAD_LINK_NEXT_BYTES 8

/* A row of an output of the network, while the image is computed. */
typedef struct {
    uint32_t job;
    uint16_t output;
    uint16_t y;
} vad_link_output_t;
_Static_assert(sizeof(vad_link_output_t) == 8, "no padding");
#define VAD_LINK_OUTPUT_BYTES 8 /* then data */

/* The answer for an image; of the device's own (a camera's), with number 0 and no cells. */
typedef struct {
    uint32_t job;
    uint32_t score;
    uint32_t threshold;
    uint32_t n_cells;
    uint32_t is_anomalous;
} vad_link_result_t;
_Static_assert(sizeof(vad_link_result_t) == 20, "no padding");
#define VAD_LINK_RESULT_BYTES 20

/* Scores of cells, uint32, from the cell `first` on. */
typedef struct {
    uint32_t job;
    uint32_t first;
} vad_link_cells_t;
_Static_assert(sizeof(vad_link_cells_t) == 8, "no padding");
#define VAD_LINK_CELLS_BYTES 8 /* then values */

/* The threshold in use; a volatile one is the shipped one again after a reset. */
typedef struct {
    uint32_t value;
    uint32_t shipped;
    uint32_t is_volatile;
} vad_link_threshold_t;
_Static_assert(sizeof(vad_link_threshold_t) == 12, "no padding");
#define VAD_LINK_THRESHOLD_BYTES 12

/* Since the last reset: images, frames by their fate, rows that were not awaited. And since
 * power-on: how often bytes were lost for want of a place, the stack's greatest use. */
typedef struct {
    uint32_t images;
    uint32_t frames;
    uint32_t damaged;
    uint32_t too_long;
    uint32_t refused;
    uint32_t misplaced;
    uint32_t overruns;
    uint32_t stack_bytes;
} vad_link_counters_t;
_Static_assert(sizeof(vad_link_counters_t) == 32, "no padding");
#define VAD_LINK_COUNTERS_BYTES 32

/* A self-test's digest over outputs, cells and score; it passed when it is the expected one. */
typedef struct {
    uint32_t index;
    uint32_t expected;
    uint32_t digest;
    uint32_t score;
} vad_link_self_tested_t;
_Static_assert(sizeof(vad_link_self_tested_t) == 16, "no padding");
#define VAD_LINK_SELF_TESTED_BYTES 16

/* Done; no image is under way. */
#define VAD_LINK_READY_BYTES 0

/* A request was refused: the reason's code, the request's kind, a number about it. */
typedef struct {
    uint16_t code;
    uint16_t kind;
    uint32_t detail;
} vad_link_refused_t;
_Static_assert(sizeof(vad_link_refused_t) == 8, "no padding");
#define VAD_LINK_REFUSED_BYTES 8

/* The greatest message of the host, apart from a row's bytes. */
#define VAD_LINK_REQUEST_BYTES 12

/* X(kind, bytes, whether more may follow), for each request of the host. */
#define VAD_LINK_REQUESTS(X)                                                                        \
    X(VAD_LINK_HELLO, 0, false) \
    X(VAD_LINK_BEGIN, 8, false) \
    X(VAD_LINK_ROW, 8, true) \
    X(VAD_LINK_QUERY, 4, false) \
    X(VAD_LINK_GET_CELLS, 12, false) \
    X(VAD_LINK_SET_THRESHOLD, 4, false) \
    X(VAD_LINK_GET_COUNTERS, 0, false) \
    X(VAD_LINK_SELF_TEST, 4, false) \
    X(VAD_LINK_ABORT, 0, false) \
    X(VAD_LINK_RESET, 0, false)

#endif
