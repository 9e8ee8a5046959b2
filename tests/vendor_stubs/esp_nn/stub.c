/* What ESP-NN computes, in the plainest loops. It insists on what the vectors of the ESP32-S3 want:
 * every tensor at a multiple of 16 bytes, images that need no copy for their padding; and it spoils
 * as much of its buffer as a convolution of that chip would. */
#include <esp_nn.h>
#include <string.h>

#include "naive.h"

static int8_t *conv_buffer, *depthwise_buffer;

static void require(int holds) {
    if (!holds) {
        __builtin_trap();
    }
}

static void require_aligned(const void *tensor) {
    require((uintptr_t)tensor % 16 == 0);
}

int esp_nn_get_conv_scratch_size(const data_dims_t *in, const data_dims_t *kernel,
                                 const data_dims_t *made, const conv_params_t *params) {
    const int32_t taps = kernel->width * kernel->height * in->channels;
    const int is_1x1 = taps == in->channels && params->stride.width == 1;
    const int32_t image = is_1x1 ? in->width * in->channels : taps;
    return image + taps * made->channels;
}

void esp_nn_set_conv_scratch_buf(void *buffer) {
    conv_buffer = buffer;
}

int esp_nn_get_depthwise_conv_scratch_size(const data_dims_t *in, const data_dims_t *kernel,
                                           const data_dims_t *made,
                                           const dw_conv_params_t *params) {
    (void)in;
    (void)params;
    return kernel->width * kernel->height * made->channels + 16;
}

void esp_nn_set_depthwise_conv_scratch_buf(void *buffer) {
    depthwise_buffer = buffer;
}

static void convolution(const data_dims_t *in, const int8_t *input, const data_dims_t *kernel,
                        const int8_t *weights, const int32_t *bias, const data_dims_t *made,
                        int8_t *output, const conv_params_t *params, const quant_data_t *quant,
                        int is_depthwise) {
    const void *tensors[] = {input, weights, bias, output, quant->shift, quant->mult};
    for (unsigned i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        require_aligned(tensors[i]);
    }
    require(params->padding.width == 0 && params->padding.height == 0);
    require(in->height == params->stride.height + kernel->height - 1);
    require(in->width == made->width * params->stride.width + kernel->width - 1);
    const naive_t n = {
        .in_height = in->height,
        .in_width = in->width,
        .in_channels = in->channels,
        .kernel_h = kernel->height,
        .kernel_w = kernel->width,
        .stride_h = params->stride.height,
        .stride_w = params->stride.width,
        .out_height = made->height,
        .out_width = made->width,
        .out_channels = made->channels,
        .in_offset = params->in_offset,
        .out_offset = params->out_offset,
        .low = params->activation.min,
        .high = params->activation.max,
        .is_depthwise = is_depthwise,
    };
    naive_convolution(&n, input, weights, bias, quant->mult, quant->shift, output);
}

void esp_nn_conv_s8(const data_dims_t *in, const int8_t *input, const data_dims_t *kernel,
                    const int8_t *weights, const int32_t *bias, const data_dims_t *made,
                    int8_t *output, const conv_params_t *params, const quant_data_t *quant) {
    require_aligned(conv_buffer);
    const int size = esp_nn_get_conv_scratch_size(in, kernel, made, params);
    memset(conv_buffer, 0xA5, (size_t)size);
    convolution(in, input, kernel, weights, bias, made, output, params, quant, 0);
}

void esp_nn_depthwise_conv_s8(const data_dims_t *in, const int8_t *input, const data_dims_t *kernel,
                              const int8_t *weights, const int32_t *bias, const data_dims_t *made,
                              int8_t *output, const dw_conv_params_t *params,
                              const quant_data_t *quant) {
    require_aligned(depthwise_buffer);
    const int size = esp_nn_get_depthwise_conv_scratch_size(in, kernel, made, params);
    memset(depthwise_buffer, 0xA5, (size_t)size);
    require(params->ch_mult == 1 && in->channels % 16 == 0);
    const conv_params_t plain = {params->in_offset, params->out_offset, params->stride,
                                 params->padding,   params->dilation,   params->activation};
    convolution(in, input, kernel, weights, bias, made, output, &plain, quant, 1);
}

void esp_nn_add_elementwise_s8(const int8_t *a, const int8_t *b, const int32_t a_offset,
                               const int32_t b_offset, const int32_t a_multiplier,
                               const int32_t b_multiplier, const int32_t a_shift,
                               const int32_t b_shift, const int32_t left_shift, int8_t *output,
                               const int32_t out_offset, const int32_t out_multiplier,
                               const int32_t out_shift, const int32_t low, const int32_t high,
                               const int32_t count) {
    require_aligned(a);
    require_aligned(b);
    require_aligned(output);
    const int32_t one = 1 << left_shift;
    for (int32_t i = 0; i < count; i++) {
        const int32_t sum = vad_requantize((a[i] + a_offset) * one, a_multiplier, a_shift) +
                            vad_requantize((b[i] + b_offset) * one, b_multiplier, b_shift);
        const int32_t scaled = vad_requantize(sum, out_multiplier, out_shift);
        output[i] = (int8_t)vad_clamp(scaled + out_offset, low, high);
    }
}

void esp_nn_mul_elementwise_s8(const int8_t *a, const int8_t *b, const int32_t a_offset,
                               const int32_t b_offset, int8_t *output, const int32_t out_offset,
                               const int32_t multiplier, const int32_t shift, const int32_t low,
                               const int32_t high, const int32_t count) {
    require_aligned(a);
    require_aligned(b);
    require_aligned(output);
    for (int32_t i = 0; i < count; i++) {
        const int32_t product = (a[i] + a_offset) * (b[i] + b_offset);
        const int32_t scaled = vad_requantize(product, multiplier, shift);
        output[i] = (int8_t)vad_clamp(scaled + out_offset, low, high);
    }
}
