#include "vad_depthwise_dsp.h"

#include "vad_dsp.h"

/* Channels at a time; greatest size; most words of a channel's constants: its pairs and four. */
enum { FOUR = 4, MOST = 7, MOST_WORDS = MOST * (MOST - 1) + 4 };

/* An even number of int16. */
static void fill(uint32_t *pairs, int32_t count, int32_t value) {
    const uint32_t pair = (uint16_t)value * UINT32_C(0x10001);
    for (int32_t i = 0; i < count / 2; i++) {
        pairs[i] = pair;
        __asm__("" ::: "memory"); /* not worth a call of memset */
    }
}

/* `channels` channels from `first` on. rows[i]: the first one's plane; next[i]: bytes from a plane
 * to the next channel's. */
static void run(const vad_depthwise_dsp_t *op, const int16_t *const *rows, const int32_t *next,
                const int32_t *constants, int32_t first, int32_t channels, int8_t *out) {
    const int32_t fours = op->out_width & ~3;
    const int32_t rest = op->out_width - fours;
    const int32_t walked = 2 * op->stride * (fours + ((rest + 1) & ~1));
    vad_dsp_depthwise_t depthwise; /* no initializer: it would clear all rows first */
    depthwise.pixel = op->channels;
    depthwise.constants = constants;
    depthwise.out = out + first;
    depthwise.fours_bytes = (uint32_t)(fours * op->channels);
    depthwise.rest = (uint32_t)rest;
    depthwise.constants_end = constants + channels * op->channel;
    for (int32_t i = 0; i < op->size; i++) {
        depthwise.rows[i] = (intptr_t)rows[i];
        depthwise.rows[op->size + i] = next[i] - walked;
    }
    op->row(&depthwise);
}

static inline int32_t pair(int32_t low, int32_t high) {
    int32_t both;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(both) : "r"(low), "r"(high));
    return both;
}

/* A channel's weights, bytes, to pairs of int16; returns the end of the pairs. */
static inline int32_t *widen_window(const int8_t *weights, int32_t size, int32_t *pairs) {
    const int32_t scale = 1 << weights[size * size];
    for (int32_t i = 0; i < size; i++) {
        int32_t before = weights[0] * scale;
        for (int32_t j = 1; j < size; j++) {
            const int32_t here = weights[j] * scale;
            pairs[j - 1] = pair(before, here);
            before = here;
        }
        weights += size;
        pairs += size - 1;
    }
    return pairs;
}

/* The constants of FOUR channels whose weights lie apart. */
static void widen(const vad_depthwise_dsp_t *op, int32_t first, int32_t *constants) {
    const int32_t window = op->size * op->size;
    const int32_t rest = op->channel - window + op->size;
    const int8_t *weights = op->weights + first * (window + 1);
    const int32_t *tail = op->constants + first * rest;
    for (int32_t c = 0; c < FOUR; c++) {
        constants = op->size == 3   ? widen_window(weights, 3, constants)
                    : op->size == 5 ? widen_window(weights, 5, constants)
                                    : widen_window(weights, 7, constants);
        weights += window + 1;
        for (int32_t i = 0; i < rest; i++) {
            *constants++ = *tail++;
        }
    }
}

/* FOUR channels whose weights lie apart; never inlined, so that no other pays for the stack. */
__attribute__((noinline)) static void run_widened(const vad_depthwise_dsp_t *op,
                                                  const int16_t *const *rows, const int32_t *next,
                                                  int32_t first, int8_t *out) {
    int32_t widened[FOUR * MOST_WORDS];
    widen(op, first, widened);
    run(op, rows, next, widened, first, FOUR, out);
}

/* FOUR channels, wherever their weights lie. */
static void run_four(const vad_depthwise_dsp_t *op, const int16_t *const *rows, const int32_t *next,
                     int32_t first, int8_t *out) {
    if (op->weights != NULL) {
        run_widened(op, rows, next, first, out);
    } else {
        run(op, rows, next, op->constants + first * op->channel, first, FOUR, out);
    }
}

/* The channel from which on there are FOUR: a last rest is done together with some before it. */
static int32_t four_from(const vad_depthwise_dsp_t *op, int32_t channel) {
    return channel + FOUR <= op->channels ? channel : op->channels - FOUR;
}

void vad_depthwise_dsp_planes(const vad_depthwise_dsp_t *op, const int8_t *const *rows, int8_t *out,
                              void *scratch) {
    const int16_t *planes[MOST];
    int32_t next[MOST];
    fill(scratch, op->plane, 0);
    for (int32_t i = 0; i < op->size; i++) {
        planes[i] = rows[i] == NULL ? scratch : (const int16_t *)(const void *)rows[i];
        next[i] = rows[i] == NULL ? 0 : 2 * op->plane;
    }
    if (op->weights == NULL) {
        run(op, planes, next, op->constants, 0, op->channels, out);
        return;
    }
    for (int32_t c = 0; c < op->channels; c += FOUR) {
        const int32_t first = four_from(op, c);
        const int16_t *here[MOST];
        for (int32_t i = 0; i < op->size; i++) {
            here[i] = planes[i] + first * next[i] / 2;
        }
        run_four(op, here, next, first, out);
    }
}

/* Four channels of a row of pixels to four planes. */
static void spread(const vad_depthwise_dsp_t *op, const int8_t *in, int16_t *plane) {
    const int32_t pairs = op->in_width / 2;
    plane += op->pad_left;
    vad_dsp_spread(in, op->channels, (uint32_t)pairs, plane, 2u * op->plane);
    if (op->in_width % 2 != 0) {
        uint32_t last[2];
        vad_dsp_widen_quad(in + 2 * pairs * op->channels, last);
        plane += 2 * pairs;
        plane[0] = (int16_t)last[0];
        plane[op->plane] = (int16_t)last[1];
        plane[2 * op->plane] = (int16_t)(last[0] >> 16);
        plane[3 * op->plane] = (int16_t)(last[1] >> 16);
    }
}

void vad_depthwise_dsp_rows(const vad_depthwise_dsp_t *op, const int8_t *const *rows, int8_t *out,
                            void *scratch) {
    int16_t *spare = scratch;
    const int16_t *planes[MOST];
    int32_t next[MOST];
    fill(scratch, 4 * op->size * op->plane, op->in_zero_point);
    for (int32_t i = 0; i < op->size; i++) {
        planes[i] = spare + 4 * i * op->plane;
        next[i] = 2 * op->plane;
    }
    for (int32_t c = 0; c < op->channels; c += FOUR) {
        const int32_t first = four_from(op, c);
        for (int32_t i = 0; i < op->size; i++) {
            if (rows[i] != NULL) {
                spread(op, rows[i] + first, spare + 4 * i * op->plane);
            }
        }
        run_four(op, planes, next, first, out);
    }
}
