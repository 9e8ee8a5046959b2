/* CONV_2D on cores with the DSP extension; numpy twin: ref/conv2d.py.
 *
 * Output channels go in pairs; a last odd one is done together with the one before it, once more.
 * The stream holds for each pair, in words:
 *     signed: multiplier, constant (first channel), multiplier, constant (second channel)
 *     short:  both multipliers, both constants (int16 each)
 *     both shifts (a byte each), both biases
 * and its weights, four of the first channel and four of the second in turns; those for the short
 * requantization plus 128. Weights of a kernel row that are not a whole four go behind those of all
 * rows. vad_dsp.h says what the constants mean. */
#ifndef VAD_CONV2D_DSP_H
#define VAD_CONV2D_DSP_H

#include "vad_kernel.h"

typedef struct vad_dsp_dots vad_dsp_dots_t;
typedef void vad_dsp_dots_fn(const vad_dsp_dots_t *dots);

/* Variants of the inner loops: input channels by four, and how sums become outputs. */
vad_dsp_dots_fn vad_dsp_dots_2_planes, vad_dsp_dots_4_planes, vad_dsp_dots_6_planes,
    vad_dsp_dots_7_planes, vad_dsp_dots_8_planes, vad_dsp_dots_any_planes, vad_dsp_dots_2_rows,
    vad_dsp_dots_4_rows, vad_dsp_dots_6_rows, vad_dsp_dots_8_rows, vad_dsp_dots_any_rows,
    vad_dsp_dots_any_signed;

typedef struct {
    const int32_t *stream;
    vad_dsp_dots_fn *dots;
    uint16_t in_width;
    uint16_t in_channels;
    uint16_t out_width;
    uint16_t out_channels; /* at least 2 */
    uint16_t pair;         /* words of a pair in the stream */
    uint16_t quads;        /* weights of an output channel by four, the last filled with zeros */
    uint16_t pixels;       /* output pixels at a time, even */
    uint16_t plane;        /* pixels of an output plane with its margins; 0: int8 rows */
    uint8_t left;          /* zeros before a plane's first pixel */
    uint8_t kernel_h;
    uint8_t kernel_w;
    uint8_t stride_w;
    uint8_t pad_left;
    int8_t in_zero_point;
} vad_conv2d_dsp_t;

/* scratch, both: the pixels as int16 (8 * quads bytes each), weights of two channels as int16 (16 +
 * 16 * quads); vad_conv2d_dsp: kernel_h pointers and kernel_h + 1 rows of the kernel's inputs. */

/* 1x1, stride 1, input channels a multiple of 4. */
void vad_pointwise_dsp(const vad_conv2d_dsp_t *op, const int8_t *const *rows, int8_t *out,
                       void *scratch);

/* Any kernel and stride. */
void vad_conv2d_dsp(const vad_conv2d_dsp_t *op, const int8_t *const *rows, int8_t *out,
                    void *scratch);

#endif
