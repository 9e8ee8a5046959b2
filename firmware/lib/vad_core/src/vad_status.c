#include "vad_types.h"

const char *vad_status_text(vad_status_t status) {
    switch (status) {
#define VAD_STATUS_CASE(name, value, text)                                                         \
    case name:                                                                                     \
        return text;
        VAD_STATUS_LIST(VAD_STATUS_CASE)
#undef VAD_STATUS_CASE
    }
    return "unknown status";
}
