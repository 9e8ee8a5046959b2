/* Types that libraries, generated code and applications share. */
#ifndef VAD_TYPES_H
#define VAD_TYPES_H

#include <stddef.h>
#include <stdint.h>

/* The handshake between generated code and these libraries: raised when either changes shape. */
#define VAD_ABI 1

/* One list makes the enum and the names: status, value, what it means. */
#define VAD_STATUS_LIST(X)                                                                         \
    X(VAD_OK, 0, "done")                                                                           \
    X(VAD_ERROR_STATE, -1, "called out of order")                                                  \
    X(VAD_ERROR_ARGUMENT, -2, "an argument is out of range")                                       \
    X(VAD_ERROR_LINK, -3, "the link to the host failed")                                           \
    X(VAD_ERROR_RUNTIME, -4, "the network's runtime failed")

typedef enum {
#define VAD_STATUS_ENUM(name, value, text) name = (value),
    VAD_STATUS_LIST(VAD_STATUS_ENUM)
#undef VAD_STATUS_ENUM
} vad_status_t;

/* What a status means, in a few words; "unknown status" for a value outside the list. */
const char *vad_status_text(vad_status_t status);

/* Sees each row of the network's outputs as it is made; `y` counts rows from the top. */
typedef struct {
    void (*row)(void *user, int32_t output, int32_t y, const int8_t *data, size_t bytes);
    void *user;
} vad_observer_t;

/* The answer for one image. `cells` are the detector's scores, row by row, valid until the next
 * image; scores and threshold share the scale that the generated header documents. */
typedef struct {
    uint32_t score;
    uint32_t threshold;
    uint8_t is_anomalous; /* 1 when score > threshold */
    const uint32_t *cells;
} vad_result_t;

#endif
