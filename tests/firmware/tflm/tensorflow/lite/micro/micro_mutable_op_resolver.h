// Stands in for the library's header: what the generated glue uses of it, and no more.
#pragma once

#include <cstdint>

enum TfLiteStatus { kTfLiteOk, kTfLiteError };

namespace tflite {

class MicroOpResolver {
  public:
    uint32_t registered = 0;
};

template <unsigned room> class MicroMutableOpResolver : public MicroOpResolver {
  public:
#define METHOD(name)                                                                               \
    TfLiteStatus name() {                                                                          \
        return registered++ < room ? kTfLiteOk : kTfLiteError;                                     \
    }
    METHOD(AddAdd)
    METHOD(AddAveragePool2D)
    METHOD(AddConcatenation)
    METHOD(AddConv2D)
    METHOD(AddDepthwiseConv2D)
    METHOD(AddFullyConnected)
    METHOD(AddGather)
    METHOD(AddHardSwish)
    METHOD(AddLogistic)
    METHOD(AddMaximum)
    METHOD(AddMaxPool2D)
    METHOD(AddMean)
    METHOD(AddMul)
    METHOD(AddPad)
    METHOD(AddQuantize)
    METHOD(AddRelu)
    METHOD(AddRelu6)
    METHOD(AddReshape)
    METHOD(AddSoftmax)
#undef METHOD
};

} // namespace tflite
