/* The part of ESP-NN's public interface that vadgen calls, after its documentation. */
#ifndef ESP_NN_H
#define ESP_NN_H

#include "esp_nn_defs.h"

#ifndef CONFIG_NN_OPTIMIZED
#error "without this macro the header names the loops that are not optimized"
#endif

int esp_nn_get_conv_scratch_size(const data_dims_t *in, const data_dims_t *kernel,
                                 const data_dims_t *made, const conv_params_t *params);
void esp_nn_set_conv_scratch_buf(void *buffer);
void esp_nn_conv_s8(const data_dims_t *in, const int8_t *input, const data_dims_t *kernel,
                    const int8_t *weights, const int32_t *bias, const data_dims_t *made,
                    int8_t *output, const conv_params_t *params, const quant_data_t *quant);

int esp_nn_get_depthwise_conv_scratch_size(const data_dims_t *in, const data_dims_t *kernel,
                                           const data_dims_t *made, const dw_conv_params_t *params);
void esp_nn_set_depthwise_conv_scratch_buf(void *buffer);
void esp_nn_depthwise_conv_s8(const data_dims_t *in, const int8_t *input, const data_dims_t *kernel,
                              const int8_t *weights, const int32_t *bias, const data_dims_t *made,
                              int8_t *output, const dw_conv_params_t *params,
                              const quant_data_t *quant);

void esp_nn_add_elementwise_s8(const int8_t *a, const int8_t *b, const int32_t a_offset,
                               const int32_t b_offset, const int32_t a_multiplier,
                               const int32_t b_multiplier, const int32_t a_shift,
                               const int32_t b_shift, const int32_t left_shift, int8_t *output,
                               const int32_t out_offset, const int32_t out_multiplier,
                               const int32_t out_shift, const int32_t low, const int32_t high,
                               const int32_t count);

void esp_nn_mul_elementwise_s8(const int8_t *a, const int8_t *b, const int32_t a_offset,
                               const int32_t b_offset, int8_t *output, const int32_t out_offset,
                               const int32_t multiplier, const int32_t shift, const int32_t low,
                               const int32_t high, const int32_t count);

#endif
