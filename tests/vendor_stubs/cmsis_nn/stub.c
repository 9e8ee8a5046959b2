/* What CMSIS-NN computes, in the plainest loops; it spoils all of the buffer that it is given. */
#include <arm_nnfunctions.h>
#include <string.h>

#include "naive.h"

/* As documented for cores with the DSP extension. */
int32_t arm_convolve_wrapper_s8_get_buffer_size(const cmsis_nn_conv_params *params,
                                                const cmsis_nn_dims *in,
                                                const cmsis_nn_dims *kernel,
                                                const cmsis_nn_dims *made) {
    (void)params;
    (void)made;
    return (kernel->h * kernel->w * in->c + 3) / 4 * 16;
}

int32_t arm_depthwise_conv_wrapper_s8_get_buffer_size(const cmsis_nn_dw_conv_params *params,
                                                      const cmsis_nn_dims *in,
                                                      const cmsis_nn_dims *kernel,
                                                      const cmsis_nn_dims *made) {
    (void)params;
    (void)made;
    return kernel->h * kernel->w * in->c * 2;
}

int32_t arm_avgpool_s8_get_buffer_size(const int out_width, const int channels) {
    (void)out_width;
    return channels * 4;
}

static void spoil(const cmsis_nn_context *context) {
    memset(context->buf, 0xA5, (size_t)context->size);
}

arm_cmsis_nn_status arm_convolve_wrapper_s8(const cmsis_nn_context *context,
                                            const cmsis_nn_conv_params *params,
                                            const cmsis_nn_per_channel_quant_params *quant,
                                            const cmsis_nn_dims *in, const int8_t *input,
                                            const cmsis_nn_dims *kernel, const int8_t *weights,
                                            const cmsis_nn_dims *bias_dims, const int32_t *bias,
                                            const cmsis_nn_dims *made, int8_t *output) {
    (void)bias_dims;
    const int is_row = kernel->h == 1 && kernel->w > 1;
    if (in->n != 1 || kernel->c != in->c || params->dilation.w != 1 || is_row) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    spoil(context);
    const naive_t n = {
        .in_height = in->h,
        .in_width = in->w,
        .in_channels = in->c,
        .kernel_h = kernel->h,
        .kernel_w = kernel->w,
        .stride_h = params->stride.h,
        .stride_w = params->stride.w,
        .pad_top = params->padding.h,
        .pad_left = params->padding.w,
        .out_height = made->h,
        .out_width = made->w,
        .out_channels = made->c,
        .in_offset = params->input_offset,
        .out_offset = params->output_offset,
        .low = params->activation.min,
        .high = params->activation.max,
    };
    naive_convolution(&n, input, weights, bias, quant->multiplier, quant->shift, output);
    return ARM_CMSIS_NN_SUCCESS;
}

arm_cmsis_nn_status arm_depthwise_conv_wrapper_s8(
    const cmsis_nn_context *context, const cmsis_nn_dw_conv_params *params,
    const cmsis_nn_per_channel_quant_params *quant, const cmsis_nn_dims *in, const int8_t *input,
    const cmsis_nn_dims *kernel, const int8_t *weights, const cmsis_nn_dims *bias_dims,
    const int32_t *bias, const cmsis_nn_dims *made, int8_t *output) {
    (void)bias_dims;
    if (in->n != 1 || params->ch_mult != 1 || made->c != in->c || kernel->c != in->c) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    spoil(context);
    const naive_t n = {
        .in_height = in->h,
        .in_width = in->w,
        .in_channels = in->c,
        .kernel_h = kernel->h,
        .kernel_w = kernel->w,
        .stride_h = params->stride.h,
        .stride_w = params->stride.w,
        .pad_top = params->padding.h,
        .pad_left = params->padding.w,
        .out_height = made->h,
        .out_width = made->w,
        .out_channels = made->c,
        .in_offset = params->input_offset,
        .out_offset = params->output_offset,
        .low = params->activation.min,
        .high = params->activation.max,
        .is_depthwise = 1,
    };
    naive_convolution(&n, input, weights, bias, quant->multiplier, quant->shift, output);
    return ARM_CMSIS_NN_SUCCESS;
}

arm_cmsis_nn_status arm_elementwise_add_s8(const int8_t *a, const int8_t *b, const int32_t a_offset,
                                           const int32_t a_multiplier, const int32_t a_shift,
                                           const int32_t b_offset, const int32_t b_multiplier,
                                           const int32_t b_shift, const int32_t left_shift,
                                           int8_t *output, const int32_t out_offset,
                                           const int32_t out_multiplier, const int32_t out_shift,
                                           const int32_t low, const int32_t high,
                                           const int32_t count) {
    const int32_t one = 1 << left_shift;
    for (int32_t i = 0; i < count; i++) {
        const int32_t sum = vad_requantize((a[i] + a_offset) * one, a_multiplier, a_shift) +
                            vad_requantize((b[i] + b_offset) * one, b_multiplier, b_shift);
        const int32_t scaled = vad_requantize(sum, out_multiplier, out_shift);
        output[i] = (int8_t)vad_clamp(scaled + out_offset, low, high);
    }
    return ARM_CMSIS_NN_SUCCESS;
}

arm_cmsis_nn_status arm_elementwise_mul_s8(const int8_t *a, const int8_t *b, const int32_t a_offset,
                                           const int32_t b_offset, int8_t *output,
                                           const int32_t out_offset, const int32_t multiplier,
                                           const int32_t shift, const int32_t low,
                                           const int32_t high, const int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        const int32_t product = (a[i] + a_offset) * (b[i] + b_offset);
        const int32_t scaled = vad_requantize(product, multiplier, shift);
        output[i] = (int8_t)vad_clamp(scaled + out_offset, low, high);
    }
    return ARM_CMSIS_NN_SUCCESS;
}

static arm_cmsis_nn_status pool(const cmsis_nn_context *context, const cmsis_nn_pool_params *params,
                                const cmsis_nn_dims *in, const int8_t *input,
                                const cmsis_nn_dims *kernel, const cmsis_nn_dims *made,
                                int8_t *output, int is_average) {
    if (in->n != 1 || params->padding.h != 0 || kernel->h != in->h || made->h != 1) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    spoil(context);
    for (int32_t x = 0; x < made->w; x++) {
        for (int32_t c = 0; c < in->c; c++) {
            int32_t sum = 0, count = 0, best = INT8_MIN;
            for (int32_t k = 0; k < kernel->h * kernel->w; k++) {
                const int32_t column = x * params->stride.w - params->padding.w + k % kernel->w;
                if (column >= 0 && column < in->w) {
                    const int32_t value = input[(k / kernel->w * in->w + column) * in->c + c];
                    sum += value;
                    best = value > best ? value : best;
                    count++;
                }
            }
            const int32_t half = sum > 0 ? count / 2 : -(count / 2);
            const int32_t value = is_average ? (sum + half) / count : best;
            *output++ = (int8_t)vad_clamp(value, params->activation.min, params->activation.max);
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}

arm_cmsis_nn_status arm_avgpool_s8(const cmsis_nn_context *context,
                                   const cmsis_nn_pool_params *params, const cmsis_nn_dims *in,
                                   const int8_t *input, const cmsis_nn_dims *kernel,
                                   const cmsis_nn_dims *made, int8_t *output) {
    return pool(context, params, in, input, kernel, made, output, 1);
}

arm_cmsis_nn_status arm_max_pool_s8(const cmsis_nn_context *context,
                                    const cmsis_nn_pool_params *params, const cmsis_nn_dims *in,
                                    const int8_t *input, const cmsis_nn_dims *kernel,
                                    const cmsis_nn_dims *made, int8_t *output) {
    return pool(context, params, in, input, kernel, made, output, 0);
}
