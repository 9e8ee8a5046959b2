/* What the kernels that call ESP-NN share.
 *
 * Every output row is a call of a public function of the library on a small image in scratch: the
 * window's rows with the padding around them. Its vector loads and stores want every tensor at a
 * multiple of 16 bytes, as TensorFlow Lite Micro places them; so inputs and outputs are copied, and
 * constants aligned by the generator. Scratch is larger than its parts by as much as its own start
 * may be off. */
#ifndef VAD_ESP_NN_H
#define VAD_ESP_NN_H

#ifdef ESP_PLATFORM
#include <sdkconfig.h>
#endif

#include <esp_nn.h>
#include <esp_nn_defs.h>

#include "vad_kernel.h"
#include "vad_rows.h"

#if defined(CONFIG_NN_SKIP_NUDGE) || defined(SKIP_NUDGE)
#error "ESP-NN with CONFIG_NN_SKIP_NUDGE gives other bytes: build it without"
#endif

#define VAD_ESP_NN_ALIGNMENT 16u

/* Stops where the library wants more memory than the plan has set aside: it is of another version
 * than the adapters were written for. */
static inline void vad_esp_nn_require(int holds) {
    if (!holds) {
        __builtin_trap();
    }
}

/* The first address from `at` on that the library's vectors can use. */
static inline int8_t *vad_esp_nn_aligned(void *at) {
    const uintptr_t address = (uintptr_t)at + VAD_ESP_NN_ALIGNMENT - 1;
    return (int8_t *)(address - address % VAD_ESP_NN_ALIGNMENT);
}

#endif
