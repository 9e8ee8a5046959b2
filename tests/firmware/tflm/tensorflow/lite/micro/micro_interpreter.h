// Stands in for the library's header: what the generated glue uses of it, and no more.
#pragma once

#include <cstddef>
#include <cstdint>

#include "flatbuffers/flatbuffers.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

struct TfLiteTensor {
    union {
        int8_t *int8;
        uint8_t *uint8;
    } data;
};

namespace tflite {

class MicroInterpreter {
  public:
    MicroInterpreter(const Model *model, const MicroOpResolver &resolver, uint8_t *arena,
                     size_t bytes);
    TfLiteStatus AllocateTensors();
    TfLiteStatus Invoke();
    TfLiteTensor *input(size_t index);
    TfLiteTensor *output(size_t index);
    size_t arena_used_bytes() const;

  private:
    const MicroOpResolver &resolver_;
    uint8_t *arena_;
    size_t bytes_;
    TfLiteTensor tensor_;
};

} // namespace tflite
