#include "vad_session.h"

#include "vad_self_test.h"

#include <string.h>

typedef struct {
    uint8_t kind;
    uint8_t bytes;
    bool has_rest;
} request_t;

static const request_t requests[] = {
#define REQUEST(kind, bytes, has_rest) {kind, bytes, has_rest},
    VAD_LINK_REQUESTS(REQUEST)
#undef REQUEST
};

static uint32_t n_cells(const vad_session_t *s) {
    return (uint32_t)s->model->identity.cell_rows * s->model->identity.cell_cols;
}

/* --- answers -----------------------------------------------------------------------------------
 */

/* A message of fixed fields and what follows them. */
static void send(vad_session_t *s, vad_link_kind_t kind, const void *message, size_t bytes,
                 const void *rest, size_t rest_bytes) {
    vad_frame_begin(&s->writer, (uint8_t)kind, s->sequence);
    vad_frame_put(&s->writer, message, bytes);
    vad_frame_put(&s->writer, rest, rest_bytes);
    s->write_failed = !vad_frame_end(&s->writer) || s->write_failed;
}

static void refuse(vad_session_t *s, vad_link_code_t code, uint8_t kind, uint32_t detail) {
    const vad_link_refused_t refused = {(uint16_t)code, kind, detail};
    s->counters.refused++;
    send(s, VAD_LINK_REFUSED, &refused, sizeof refused, NULL, 0);
}

static void send_ready(vad_session_t *s) {
    send(s, VAD_LINK_READY, NULL, 0, NULL, 0);
}

static uint16_t window(const vad_session_t *s) {
    const uint32_t row = VAD_SESSION_FRAME_BYTES(s->model->identity.row_bytes);
    const uint32_t framed = row + row / 254u + 3u;
    const uint32_t ahead = s->model->receive_bytes() / framed;
    return (uint16_t)(ahead < VAD_LINK_MAX_WINDOW ? 1u + ahead : VAD_LINK_MAX_WINDOW);
}

static void send_identity(vad_session_t *s) {
    vad_link_identity_t identity = s->model->identity;
    identity.threshold = s->threshold;
    identity.window = window(s);
    send(s, VAD_LINK_IDENTITY, &identity, sizeof identity, NULL, 0);
}

static void send_result(vad_session_t *s, uint32_t job, uint32_t score, uint32_t cells) {
    const vad_link_result_t result = {job, score, s->threshold, cells, score > s->threshold};
    send(s, VAD_LINK_RESULT, &result, sizeof result, NULL, 0);
}

/* How far the image is: `Next`, or `Result` when all rows have come. */
static void send_progress(vad_session_t *s) {
    if (s->state == VAD_SESSION_DONE) {
        send_result(s, s->job, s->result.score, n_cells(s));
        return;
    }
    const uint32_t height = s->model->identity.height;
    const uint32_t until = (uint32_t)s->next_row + window(s);
    const vad_link_next_t next = {
        s->job,
        s->next_row,
        (uint16_t)(until < height ? until : height),
    };
    send(s, VAD_LINK_NEXT, &next, sizeof next, NULL, 0);
}

/* Called by the model as it makes a row. */
static void send_output(void *user, int32_t output, int32_t y, const int8_t *data, size_t bytes) {
    vad_session_t *s = user;
    const vad_link_output_t message = {s->job, (uint16_t)output, (uint16_t)y};
    send(s, VAD_LINK_OUTPUT, &message, sizeof message, data, bytes);
}

static void sum_output(void *user, int32_t output, int32_t y, const int8_t *data, size_t bytes) {
    vad_session_t *s = user;
    s->outputs += vad_self_test_output((uint32_t)output, (uint32_t)y, data, bytes);
}

/* --- requests ----------------------------------------------------------------------------------
 */

static void reset(vad_session_t *s) {
    s->state = VAD_SESSION_IDLE;
    s->threshold = s->model->identity.shipped_threshold;
    s->counters = (vad_link_counters_t){0};
}

/* The row that completes the image makes its result too. */
static vad_status_t feed(vad_session_t *s, const uint8_t *row) {
    vad_status_t status = s->model->feed_row(row);
    if (status == VAD_OK && ++s->next_row == s->model->identity.height) {
        s->result = (vad_result_t){0};
        if (n_cells(s) > 0) {
            status = s->model->result(&s->result);
        }
        s->state = VAD_SESSION_DONE;
    }
    if (status != VAD_OK) {
        s->state = VAD_SESSION_IDLE;
    }
    return status;
}

static void begin(vad_session_t *s, const uint8_t *message) {
    vad_link_begin_t request;
    memcpy(&request, message, sizeof request);
    if (s->state == VAD_SESSION_IDLE || request.job != s->job) {
        s->job = request.job;
        s->next_row = 0;
        s->state = VAD_SESSION_ROWS;
        s->observer = (vad_observer_t){send_output, s};
        s->model->begin((request.wants & VAD_LINK_WANT_OUTPUTS) != 0 ? &s->observer : NULL);
    }
    send_progress(s);
}

/* A row that came before, or comes too early, is not taken; the answer says which is. */
static void take_row(vad_session_t *s, const uint8_t *message, uint32_t bytes) {
    vad_link_row_t row;
    memcpy(&row, message, sizeof row);
    if (bytes != sizeof row + s->model->identity.row_bytes) {
        refuse(s, VAD_LINK_CODE_LENGTH, VAD_LINK_ROW, bytes);
        return;
    }
    if (s->state == VAD_SESSION_IDLE || row.job != s->job) {
        refuse(s, VAD_LINK_CODE_JOB, VAD_LINK_ROW, row.job);
        return;
    }
    if (s->state == VAD_SESSION_DONE || row.y != s->next_row) {
        s->counters.misplaced++;
        send_progress(s);
        return;
    }
    const vad_status_t status = feed(s, message + sizeof row);
    if (status != VAD_OK) {
        refuse(s, VAD_LINK_CODE_MODEL, VAD_LINK_ROW, (uint32_t)-status);
        return;
    }
    s->counters.images += s->state == VAD_SESSION_DONE;
    send_progress(s);
}

static void query(vad_session_t *s, const uint8_t *message) {
    vad_link_query_t request;
    memcpy(&request, message, sizeof request);
    if (s->state == VAD_SESSION_IDLE || request.job != s->job) {
        refuse(s, VAD_LINK_CODE_JOB, VAD_LINK_QUERY, request.job);
        return;
    }
    send_progress(s);
}

static void get_cells(vad_session_t *s, const uint8_t *message) {
    vad_link_get_cells_t request;
    memcpy(&request, message, sizeof request);
    if (s->state == VAD_SESSION_IDLE || request.job != s->job) {
        refuse(s, VAD_LINK_CODE_JOB, VAD_LINK_GET_CELLS, request.job);
    } else if (s->state != VAD_SESSION_DONE) {
        refuse(s, VAD_LINK_CODE_UNFINISHED, VAD_LINK_GET_CELLS, s->next_row);
    } else if (request.first > n_cells(s)) {
        refuse(s, VAD_LINK_CODE_RANGE, VAD_LINK_GET_CELLS, n_cells(s));
    } else {
        const uint32_t left = n_cells(s) - request.first;
        const uint32_t count = request.count < left ? request.count : left;
        const vad_link_cells_t cells = {s->job, request.first};
        send(s, VAD_LINK_CELLS, &cells, sizeof cells,
             count > 0 ? s->result.cells + request.first : NULL, count * sizeof *s->result.cells);
    }
}

static void set_threshold(vad_session_t *s, const uint8_t *message) {
    vad_link_set_threshold_t request;
    memcpy(&request, message, sizeof request);
    s->threshold = request.value;
    const vad_link_threshold_t threshold = {
        s->threshold, s->model->identity.shipped_threshold, 1, /* it is kept in RAM alone */
    };
    send(s, VAD_LINK_THRESHOLD, &threshold, sizeof threshold, NULL, 0);
}

static void send_counters(vad_session_t *s) {
    vad_link_counters_t counters = s->counters;
    counters.overruns = s->model->overruns();
    counters.stack_bytes = s->model->stack_used();
    send(s, VAD_LINK_COUNTERS, &counters, sizeof counters, NULL, 0);
}

/* Its rows are made in the frame's buffer, whose message has been read. */
static void self_test(vad_session_t *s, const uint8_t *message) {
    const vad_link_identity_t *identity = &s->model->identity;
    uint8_t *row = s->reader.data + VAD_LINK_HEAD_BYTES + VAD_LINK_ROW_BYTES;
    vad_link_self_test_t request;
    memcpy(&request, message, sizeof request);
    if (request.index >= identity->n_tests) {
        refuse(s, VAD_LINK_CODE_RANGE, VAD_LINK_SELF_TEST, identity->n_tests);
        return;
    }
    s->state = VAD_SESSION_IDLE;
    s->next_row = 0;
    s->outputs = 0;
    s->observer = (vad_observer_t){sum_output, s};
    s->model->begin(&s->observer);
    while (s->next_row < identity->height) {
        vad_self_test_row(request.index, s->next_row, identity->width, identity->channels, row);
        const vad_status_t status = feed(s, row);
        if (status != VAD_OK) {
            refuse(s, VAD_LINK_CODE_MODEL, VAD_LINK_SELF_TEST, (uint32_t)-status);
            return;
        }
    }
    s->state = VAD_SESSION_IDLE;
    const vad_link_self_tested_t tested = {
        request.index,
        s->model->tests[request.index],
        vad_self_test_digest(s->outputs, s->result.score, s->result.cells, n_cells(s)),
        s->result.score,
    };
    send(s, VAD_LINK_SELF_TESTED, &tested, sizeof tested, NULL, 0);
}

/* --- frames ------------------------------------------------------------------------------------
 */

static bool has_right_length(uint8_t kind, uint32_t bytes) {
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        if (requests[i].kind == kind) {
            return bytes == requests[i].bytes ||
                   (bytes > requests[i].bytes && requests[i].has_rest);
        }
    }
    return true; /* an unknown kind is refused as such */
}

static void answer(vad_session_t *s) {
    const uint8_t *head = s->reader.data;
    const uint8_t *message = head + VAD_LINK_HEAD_BYTES;
    const uint8_t kind = head[1];
    const uint32_t bytes = s->reader.used - VAD_LINK_HEAD_BYTES - VAD_LINK_CRC_BYTES;
    memcpy(&s->sequence, head + 2, sizeof s->sequence);
    if (head[0] != VAD_LINK_VERSION) {
        refuse(s, VAD_LINK_CODE_VERSION, kind, VAD_LINK_VERSION);
        return;
    }
    if (!has_right_length(kind, bytes)) {
        refuse(s, VAD_LINK_CODE_LENGTH, kind, bytes);
        return;
    }
    switch (kind) {
    case VAD_LINK_HELLO:
        send_identity(s);
        break;
    case VAD_LINK_BEGIN:
        begin(s, message);
        break;
    case VAD_LINK_ROW:
        take_row(s, message, bytes);
        break;
    case VAD_LINK_QUERY:
        query(s, message);
        break;
    case VAD_LINK_GET_CELLS:
        get_cells(s, message);
        break;
    case VAD_LINK_SET_THRESHOLD:
        set_threshold(s, message);
        break;
    case VAD_LINK_GET_COUNTERS:
        send_counters(s);
        break;
    case VAD_LINK_SELF_TEST:
        self_test(s, message);
        break;
    case VAD_LINK_RESET:
        reset(s);
        send_ready(s);
        break;
    case VAD_LINK_ABORT:
        s->state = VAD_SESSION_IDLE;
        send_ready(s);
        break;
    default:
        refuse(s, VAD_LINK_CODE_KIND, kind, kind);
        break;
    }
}

void vad_session_open(vad_session_t *s, const vad_session_model_t *model, uint8_t *frame) {
    *s = (vad_session_t){.model = model, .writer.write = model->write};
    vad_frame_read(&s->reader, frame, VAD_SESSION_FRAME_BYTES(model->identity.row_bytes));
    reset(s);
}

void vad_session_take(vad_session_t *s, const uint8_t *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        const vad_frame_event_t event = vad_frame_push(&s->reader, data[i]);
        if (event == VAD_FRAME_WHOLE) {
            s->counters.frames++;
            answer(s);
        } else if (event != VAD_FRAME_NONE) {
            const bool fits = event == VAD_FRAME_DAMAGED;
            s->sequence = 0; /* whose it was is not known */
            *(fits ? &s->counters.damaged : &s->counters.too_long) += 1;
            refuse(s, fits ? VAD_LINK_CODE_DAMAGED : VAD_LINK_CODE_TOO_LONG, 0, s->reader.used);
        }
    }
}

void vad_session_report(vad_session_t *s, uint32_t score) {
    s->sequence = 0;
    send_result(s, 0, score, 0);
}
