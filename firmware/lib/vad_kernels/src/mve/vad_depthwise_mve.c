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
    const uint32_t lines = op->size == 3 ? 4 : op->size == 5 ? 5 : 8;
    int8_t *line = scratch + 4 * op->columns;
    *padding = scratch + lines * op->columns;
    to->columns = scratch + 4 * op->pad_left;
    to->line = line + (op->size == 5 ? 1 : 4) * op->pad_left;
    to->sixteens = pitch / 16;
    to->width = op->in_width;
    to->zero_points = (uint8_t)op->in_zero_point * UINT32_C(0x01010101);
    to->windows = scratch;
    to->line_windows = line;
    to->pixel = (uint32_t)op->in_channels * op->depth_multiplier;
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
        const int inside = i < op->kernel_h && rows[i] != NULL;
        depthwise.rows[i] = inside ? rows[i] : padding;
        depthwise.next[i] = inside ? op->in_width : 0;
    }
    depthwise.constants = op->constants;
    depthwise.channels = op->in_channels;
    depthwise.out = out;
    op->row(&depthwise);
}

/* A channel of a row of pixels to a plane. */
static void spread(const vad_depthwise_mve_t *op, const int8_t *in, int8_t *plane) {
    const uint16x8_t offsets = vmulq_n_u16(vidupq_n_u16(0, 1), op->in_channels);
    for (int32_t x = 0; x < op->in_width; x += 8, in += 8 * op->in_channels, plane += 8) {
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
    for (int32_t c = 0; c < op->in_channels; c++) {
        for (int32_t i = 0; i < op->size; i++) {
            const int inside = i < op->kernel_h && rows[i] != NULL;
            depthwise.rows[i] = inside ? planes + i * pitch : padding;
            if (inside) {
                spread(op, rows[i] + c, planes + i * pitch);
            }
        }
        depthwise.channels = op->depth_multiplier;
        op->row(&depthwise);
    }
}
