#include "vad_depthwise_mve.h"

#include <arm_mve.h>

#include "vad_mve.h"

/* Whole sixteens. */
static void fill(int8_t *to, uint32_t bytes, int8_t value) {
    for (const int8_t *end = to + bytes; to != end; to += 16) {
        vst1q_s8(to, vdupq_n_s8(value));
    }
}

/* Everything but the rows, and what follows from the channels that are done. Returns what is left
 * of the scratch behind a row of padding, which `padding` points at. */
static int8_t *prepare(const vad_depthwise_mve_t *op, int8_t *scratch, vad_mve_depthwise_t *to,
                       int8_t **padding) {
    const uint32_t pitch = (op->in_width + 15u) & ~15u;
    const uint32_t lines = op->size == 5 ? 5 : 4;
    int8_t *line = scratch + 4 * op->columns;
    *padding = scratch + lines * op->columns;
    to->columns = scratch + 4 * op->pad_left;
    to->line = line + op->pad_left;
    to->sixteens = pitch / 16;
    to->width = op->in_width;
    to->zero_points = (uint8_t)op->in_zero_point * UINT32_C(0x01010101);
    to->windows = scratch;
    to->line_windows = line;
    to->pixel = op->channels;
    to->eights = op->out_width / 8u;
    to->rest = op->out_width % 8u;
    to->zero_point = op->out_zero_point;
    fill(scratch, lines * op->columns + pitch, op->in_zero_point);
    return *padding + pitch;
}

void vad_depthwise_mve_planes(const vad_depthwise_mve_t *op, const int8_t *const *rows, int8_t *out,
                              void *scratch) {
    vad_mve_depthwise_t depthwise; /* no initializer: it would clear all rows first */
    int8_t *padding;
    (void)prepare(op, scratch, &depthwise, &padding);
    for (int32_t i = 0; i < op->size; i++) {
        depthwise.rows[i] = rows[i] == NULL ? padding : rows[i];
        depthwise.next[i] = rows[i] == NULL ? 0 : op->in_width;
    }
    depthwise.constants = op->constants;
    depthwise.channels = op->channels;
    depthwise.out = out;
    op->row(&depthwise);
}

/* A channel of a row of pixels to a plane. */
static void spread(const vad_depthwise_mve_t *op, const int8_t *in, int8_t *plane) {
    const uint16x8_t offsets = vmulq_n_u16(vidupq_n_u16(0, 1), op->channels);
    for (int32_t x = 0; x < op->in_width; x += 8, in += 8 * op->channels, plane += 8) {
        const mve_pred16_t inside = vctp16q((uint32_t)(op->in_width - x));
        vstrbq_p_s16(plane, vldrbq_gather_offset_z_s16(in, offsets, inside), inside);
    }
}

void vad_depthwise_mve_rows(const vad_depthwise_mve_t *op, const int8_t *const *rows, int8_t *out,
                            void *scratch) {
    vad_mve_depthwise_t depthwise;
    int8_t *padding;
    int8_t *planes = prepare(op, scratch, &depthwise, &padding);
    const int32_t pitch = (int32_t)(16 * depthwise.sixteens);
    depthwise.constants = op->constants;
    depthwise.out = out;
    for (int32_t i = 0; i < op->size; i++) {
        depthwise.next[i] = 0;
    }
    for (int32_t c = 0; c < op->channels; c++) {
        for (int32_t i = 0; i < op->size; i++) {
            depthwise.rows[i] = rows[i] == NULL ? padding : planes + i * pitch;
            if (rows[i] != NULL) {
                spread(op, rows[i] + c, planes + i * pitch);
            }
        }
        depthwise.channels = 1;
        op->row(&depthwise);
    }
}
