#include "vad_cmsis_nn_conv2d.h"

#include "vad_cmsis_nn.h"

void vad_cmsis_nn_conv2d(const vad_cmsis_nn_conv2d_t *op, const int8_t *const *rows, int8_t *out,
                         void *scratch) {
    const cmsis_nn_dims in = {.n = 1, .h = op->in_height, .w = op->in_width, .c = op->in_channels};
    const cmsis_nn_dims kernel = {
        .n = op->out_channels, .h = op->kernel_h, .w = op->kernel_w, .c = op->in_channels};
    const cmsis_nn_dims bias = {.n = 1, .h = 1, .w = 1, .c = op->out_channels};
    const cmsis_nn_dims made = {.n = 1, .h = 1, .w = op->out_width, .c = op->out_channels};
    const cmsis_nn_conv_params params = {
        .input_offset = -op->in_zero_point,
        .output_offset = op->out_zero_point,
        .stride = {.w = op->stride_w, .h = op->stride_w},
        .padding = {.w = op->pad_left, .h = 0},
        .dilation = {.w = 1, .h = 1},
        .activation = {.min = op->low, .max = op->high},
    };
    const cmsis_nn_per_channel_quant_params quant = {.multiplier = (int32_t *)op->multiplier,
                                                     .shift = (int32_t *)op->shift};
    const cmsis_nn_context context = {.buf = scratch, .size = (int32_t)op->buffer_bytes};
    vad_cmsis_nn_require(arm_convolve_wrapper_s8_get_buffer_size(&params, &in, &kernel, &made) <=
                         context.size);
    const int8_t *image = vad_cmsis_nn_image(rows, op->n_rows, op->row_bytes, op->in_zero_point,
                                             (int8_t *)scratch + op->buffer_bytes);
    vad_cmsis_nn_require(arm_convolve_wrapper_s8(&context, &params, &quant, &in, image, &kernel,
                                                 op->weights, &bias, op->bias, &made,
                                                 out) == ARM_CMSIS_NN_SUCCESS);
}
