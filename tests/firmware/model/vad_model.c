/* Output 0, 4x8: channel 0 of the even rows, less 128. Output 1, 2x4: rows 3 and 7 of the same,
 * plus the weights. Cells: of each half of the image, the sum of columns 0 to 3 and 4 to 7 of
 * channel 0. The first pixel can ask for misbehaviour. */
#include "vad_model.h"

#include "vad_weights.h"

#include <stddef.h>

enum { ASK_TRAP = 250, ASK_HANG = 251, ASK_STATUS = 252, ASK_DEEP_STACK = 253, ASK_SLOW = 254 };

void vad_model_step_00(vad_model_t *m, const uint8_t *row);
void vad_model_step_01(vad_model_t *m, const uint8_t *row);
void vad_eleven_instructions(void);
uint32_t vad_deep(volatile uint8_t *data);

#if defined(__arm__)
/* Ten and the return. */
__attribute__((naked, noinline)) void vad_eleven_instructions(void) {
    __asm__ volatile("nop\nnop\nnop\nnop\nnop\nnop\nnop\nnop\nnop\nnop\nbx lr");
}
#else
__attribute__((noinline)) void vad_eleven_instructions(void) {
    __asm__ volatile("");
}
#endif

__attribute__((noipa)) uint32_t vad_deep(volatile uint8_t *data) {
    volatile uint8_t deep[1024];
    for (size_t i = 0; i < sizeof deep; i++) {
        deep[i] = data[0];
    }
    return deep[17];
}

__attribute__((noinline)) void vad_model_step_00(vad_model_t *m, const uint8_t *row) {
    for (int32_t x = 0; x < 8; x++) {
        m->arena[x] = (int8_t)(row[3 * x] - 128);
        m->cells[m->y / 4 * 2 + x / 4] += row[3 * x];
    }
    if (m->y % 2 == 0 && m->observer != NULL) {
        m->observer->row(m->observer->user, 0, m->y / 2, m->arena, 8);
    }
    vad_eleven_instructions();
}

__attribute__((noinline)) void vad_model_step_01(vad_model_t *m, const uint8_t *row) {
    for (int32_t x = 0; x < 4; x++) {
        m->arena[8 + x] = (int8_t)(row[3 * x] - 128 + vad_weights_00[x]);
    }
    if (m->observer != NULL) {
        m->observer->row(m->observer->user, 1, m->y / 4, m->arena + 8, 4);
    }
}

void vad_model_begin(vad_model_t *m, uint8_t *arena, uint8_t *memory,
                     const vad_observer_t *observer) {
    memory[VAD_MODEL_DETECTOR_BYTES - 1] = 0;
    *m = (vad_model_t){.arena = (int8_t *)arena, .observer = observer};
}

vad_status_t vad_model_feed_row(vad_model_t *m, const uint8_t *row) {
    if (m->y == 0 && row[0] == ASK_TRAP) {
        __builtin_trap();
    }
    while (m->y == 0 && row[0] == ASK_HANG) {
        __asm__ volatile("");
    }
    if (m->y == 0 && row[0] == ASK_STATUS) {
        return VAD_ERROR_STATE;
    }
    if (m->y == 0 && row[0] == ASK_DEEP_STACK) {
        volatile uint8_t pixel = row[0];
        m->cells[0] = vad_deep(&pixel) - ASK_DEEP_STACK;
    }
    for (uint32_t i = 0; m->y == 0 && row[0] == ASK_SLOW && i < 100000000; i++) {
        __asm__ volatile("");
    }
    vad_model_step_00(m, row);
    if (m->y % 4 == 3) {
        vad_model_step_01(m, row);
    }
    m->y++;
    return VAD_OK;
}

vad_status_t vad_model_result(const vad_model_t *m, vad_result_t *result) {
    result->score = 0;
    for (int32_t i = 0; i < 4; i++) {
        result->score = m->cells[i] > result->score ? m->cells[i] : result->score;
    }
    result->threshold = 2100;
    result->is_anomalous = result->score > result->threshold;
    result->cells = m->cells;
    return VAD_OK;
}
