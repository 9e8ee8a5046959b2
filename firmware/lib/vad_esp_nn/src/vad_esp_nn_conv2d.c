#include "vad_esp_nn_conv2d.h"

#include <string.h>

#include "vad_esp_nn.h"

void vad_esp_nn_conv2d(const vad_esp_nn_conv2d_t *op, const int8_t *const *rows, int8_t *out,
                       void *scratch) {
    int8_t *buffer = vad_esp_nn_aligned(scratch);
    int8_t *image = buffer + op->buffer_bytes;
    int8_t *row = vad_esp_nn_aligned(image + op->n_rows * op->pitch);
    const data_dims_t in = {
        .width = op->in_width, .height = op->in_height, .channels = op->in_channels, .extra = 1};
    const data_dims_t kernel = {
        .width = op->kernel_w, .height = op->kernel_h, .channels = op->in_channels, .extra = 1};
    const data_dims_t made = {
        .width = op->out_width, .height = 1, .channels = op->out_channels, .extra = 1};
    const conv_params_t params = {
        .in_offset = -op->in_zero_point,
        .out_offset = op->out_zero_point,
        .stride = {.width = op->stride_w, .height = 1},
        .padding = {.width = 0, .height = 0},
        .dilation = {.width = 1, .height = 1},
        .activation = {.min = op->low, .max = op->high},
    };
    const quant_data_t quant = {.shift = (int32_t *)op->shift, .mult = (int32_t *)op->multiplier};
    vad_esp_nn_require(esp_nn_get_conv_scratch_size(&in, &kernel, &made, &params) <=
                       (int32_t)op->buffer_bytes);
    vad_join_rows(rows, op->n_rows, op->left_bytes, op->row_bytes, op->pitch, op->in_zero_point,
                  image);
    esp_nn_set_conv_scratch_buf(buffer);
    esp_nn_conv_s8(&in, image, &kernel, op->weights, op->bias, &made, row, &params, &quant);
    memcpy(out, row, (size_t)op->out_width * op->out_channels);
}
