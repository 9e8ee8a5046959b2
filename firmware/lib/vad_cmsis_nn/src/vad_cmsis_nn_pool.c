#include "vad_cmsis_nn_pool.h"

#include "vad_cmsis_nn.h"

typedef arm_cmsis_nn_status (*pool_t)(const cmsis_nn_context *, const cmsis_nn_pool_params *,
                                      const cmsis_nn_dims *, const int8_t *, const cmsis_nn_dims *,
                                      const cmsis_nn_dims *, int8_t *);

/* scratch: a word a channel for the library, then room for the rows. */
static void pool(const vad_pool_t *op, const int8_t *const *rows, int8_t *out, void *scratch,
                 pool_t call) {
    int32_t first = 0;
    while (rows[first] == NULL) {
        first++;
    }
    int32_t end = op->kernel_h;
    while (rows[end - 1] == NULL) {
        end--;
    }
    const cmsis_nn_context context = {.buf = scratch,
                                      .size = op->channels * (int32_t)sizeof(int32_t)};
    const int8_t *image =
        vad_cmsis_nn_image(rows + first, end - first, (size_t)op->in_width * op->channels, 0,
                           (int8_t *)scratch + context.size);
    const cmsis_nn_dims in = {.n = 1, .h = end - first, .w = op->in_width, .c = op->channels};
    const cmsis_nn_dims kernel = {.n = 1, .h = end - first, .w = op->kernel_w, .c = op->channels};
    const cmsis_nn_dims made = {.n = 1, .h = 1, .w = op->out_width, .c = op->channels};
    const cmsis_nn_pool_params params = {
        .stride = {.w = op->stride_w, .h = op->stride_w},
        .padding = {.w = op->pad_left, .h = 0},
        .activation = {.min = op->low, .max = op->high},
    };
    vad_cmsis_nn_require(arm_avgpool_s8_get_buffer_size(op->out_width, op->channels) <=
                         context.size);
    vad_cmsis_nn_require(call(&context, &params, &in, image, &kernel, &made, out) ==
                         ARM_CMSIS_NN_SUCCESS);
}

void vad_cmsis_nn_average_pool(const vad_pool_t *op, const int8_t *const *rows, int8_t *out,
                               void *scratch) {
    pool(op, rows, out, scratch, arm_avgpool_s8);
}

void vad_cmsis_nn_max_pool(const vad_pool_t *op, const int8_t *const *rows, int8_t *out,
                           void *scratch) {
    pool(op, rows, out, scratch, arm_max_pool_s8);
}
