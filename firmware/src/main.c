/* Reads a request of images, runs the model row by row as they come, answers.
 *
 * Request:  "VADQ" u32 version, u32 n_images, u32 flags, then the images, H * W * C bytes each.
 * Response: "VADR" u32 version, u32 n_images, then records: a header and `bytes` bytes.
 * All numbers are little-endian. */
#include "vad_model.h"
#include "vad_port.h"
#include "vad_types.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structs are sent as they lie in memory");

enum { VERSION = 1 };
enum { WANT_OUTPUTS = 1, WANT_CELLS = 2, WANT_STACK = 4 };
enum { RECORD_ROW = 1, RECORD_RESULT = 2, RECORD_END = 3, RECORD_STACK = 4, RECORD_READY = 5 };
enum { EXIT_DONE = 0, EXIT_NO_LINK = 1, EXIT_BAD_REQUEST = 2, EXIT_MODEL = 3, EXIT_WRITE = 4 };

#define ROW_BYTES ((size_t)VAD_MODEL_INPUT_WIDTH * VAD_MODEL_INPUT_CHANNELS)

typedef struct {
    uint32_t version;
    uint32_t n_images;
    uint32_t flags;
} request_t;

typedef struct {
    char magic[4];
    uint32_t version;
    uint32_t n_images;
} response_t;

typedef struct {
    uint8_t kind;
    uint8_t index; /* output, or whether the image is anomalous */
    uint16_t y;
    uint32_t bytes;
} record_t;

typedef struct {
    record_t record;
    uint32_t score;
    uint32_t threshold;
} result_record_t;

static _Alignas(16) uint8_t vad_arena[VAD_MODEL_ARENA_BYTES];
static _Alignas(16) uint8_t vad_frame[ROW_BYTES];
static vad_model_t vad_state;

static bool read_all(void *data, size_t bytes) {
    uint8_t *at = data;
    while (bytes > 0) {
        const size_t got = vad_port_read(at, bytes);
        if (got == 0) {
            return false;
        }
        at += got;
        bytes -= got;
    }
    return true;
}

/* Skips bytes until the four of "VADQ", so that a link recovers from noise. */
static bool find_request(void) {
    static const char magic[4] = {'V', 'A', 'D', 'Q'};
    size_t found = 0;
    while (found < sizeof magic) {
        char byte;
        if (!read_all(&byte, 1)) {
            return false;
        }
        found = byte == magic[found] ? found + 1 : (size_t)(byte == magic[0]);
    }
    return true;
}

/* Called from inside the model: its own work does not belong to the counted region. */
static void write_row(void *user, int32_t output, int32_t y, const int8_t *data, size_t bytes) {
    bool *ok = user;
    const record_t record = {RECORD_ROW, (uint8_t)output, (uint16_t)y, (uint32_t)bytes};
    vad_port_region_end();
    *ok = *ok && vad_port_write(&record, sizeof record) && vad_port_write(data, bytes);
    vad_port_region_begin();
}

/* On a link the other side sends row `y` only when it is asked for, so that none is missed. */
static bool read_row(int32_t y) {
    const record_t ready = {RECORD_READY, 0, (uint16_t)y, 0};
    return vad_port_write(&ready, sizeof ready) && read_all(vad_frame, ROW_BYTES);
}

static vad_status_t run_model(const vad_observer_t *observer, vad_result_t *result) {
    vad_port_region_begin();
    vad_model_begin(&vad_state, vad_arena, observer);
    vad_port_region_end();
    for (int32_t y = 0; y < VAD_MODEL_INPUT_HEIGHT; y++) {
        if (!read_row(y)) {
            return VAD_ERROR_LINK;
        }
        vad_port_region_begin();
        const vad_status_t status = vad_model_feed_row(&vad_state, vad_frame);
        vad_port_region_end();
        if (status != VAD_OK) {
            return status;
        }
    }
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

static bool write_result(const vad_result_t *result, bool want_cells) {
    const uint32_t n_cells = VAD_MODEL_CELL_ROWS * VAD_MODEL_CELL_COLS;
    const uint32_t cell_bytes = want_cells ? n_cells * (uint32_t)sizeof *result->cells : 0u;
    const result_record_t head = {
        {RECORD_RESULT, result->is_anomalous, 0, 8u + cell_bytes},
        result->score,
        result->threshold,
    };
    const record_t end = {RECORD_END, 0, 0, 0};
    return vad_port_write(&head, sizeof head) &&
           (cell_bytes == 0 || vad_port_write(result->cells, cell_bytes)) &&
           vad_port_write(&end, sizeof end);
}

static int answer(void) {
    request_t request;
    if (!read_all(&request, sizeof request) || request.version != VERSION) {
        return EXIT_BAD_REQUEST;
    }
    const response_t response = {{'V', 'A', 'D', 'R'}, VERSION, request.n_images};
    bool ok = vad_port_write(&response, sizeof response);
    const vad_observer_t observer = {write_row, &ok};
    for (uint32_t i = 0; ok && i < request.n_images; i++) {
        vad_result_t result = {0};
        if (run_model((request.flags & WANT_OUTPUTS) ? &observer : NULL, &result) != VAD_OK) {
            return EXIT_MODEL;
        }
        ok = ok && write_result(&result, (request.flags & WANT_CELLS) != 0);
    }
    if (ok && (request.flags & WANT_STACK)) {
        const record_t record = {RECORD_STACK, 0, 0, sizeof(uint32_t)};
        const uint32_t used = vad_port_stack_used();
        ok = vad_port_write(&record, sizeof record) && vad_port_write(&used, sizeof used);
    }
    return ok ? EXIT_DONE : EXIT_WRITE;
}

int main(void) {
    int code = EXIT_NO_LINK;
    if (vad_port_open()) {
        code = EXIT_BAD_REQUEST;
        while (find_request()) {
            code = answer();
        }
    }
    vad_port_close();
    return code;
}
