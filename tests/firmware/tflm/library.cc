// An interpreter that knows one network, by vadgen's own C with the prefix `fake`. It holds its
// tensors whole in the caller's arena and wants some of it only while it plans.
#include "tensorflow/lite/micro/micro_interpreter.h"

extern "C" {
#include "fake.h"
}

#ifndef WRONG // added to a byte of every output
#define WRONG 0
#endif

namespace {

constexpr size_t ROW_BYTES = FAKE_INPUT_WIDTH * FAKE_INPUT_CHANNELS;
constexpr size_t INPUT_BYTES = FAKE_INPUT_HEIGHT * ROW_BYTES;
constexpr size_t USED_BYTES = FAKE_ARENA_BYTES + INPUT_BYTES + FAKE_OUTPUT_BYTES;
constexpr size_t PLANNING_BYTES = 300;

const uint32_t offsets[] = FAKE_OUTPUT_OFFSETS;

void keep_row(void *user, int32_t output, int32_t y, const int8_t *data, size_t bytes) {
    uint8_t *to = static_cast<uint8_t *>(user) + offsets[output] + static_cast<size_t>(y) * bytes;
    for (size_t i = 0; i < bytes; i++) {
        to[i] = static_cast<uint8_t>(data[i]);
    }
    to[0] = static_cast<uint8_t>(to[0] + WRONG);
}

} // namespace

namespace tflite {

const Model *GetModel(const void *data) {
    return static_cast<const Model *>(data);
}

MicroInterpreter::MicroInterpreter(const Model *, const MicroOpResolver &resolver, uint8_t *arena,
                                   size_t bytes)
    : resolver_(resolver), arena_(arena), bytes_(bytes), tensor_{} {
}

TfLiteStatus MicroInterpreter::AllocateTensors() {
    const bool fits = bytes_ >= USED_BYTES + PLANNING_BYTES;
    return fits && resolver_.registered > 0 ? kTfLiteOk : kTfLiteError;
}

TfLiteTensor *MicroInterpreter::input(size_t) {
    tensor_.data.uint8 = arena_ + FAKE_ARENA_BYTES;
    return &tensor_;
}

TfLiteTensor *MicroInterpreter::output(size_t index) {
    tensor_.data.uint8 = arena_ + FAKE_ARENA_BYTES + INPUT_BYTES + offsets[index];
    return &tensor_;
}

TfLiteStatus MicroInterpreter::Invoke() {
    fake_t model;
    const vad_observer_t observer = {keep_row, output(0)->data.uint8};
    fake_begin(&model, arena_, nullptr, &observer);
    for (size_t y = 0; y < FAKE_INPUT_HEIGHT; y++) {
        if (fake_feed_row(&model, input(0)->data.uint8 + y * ROW_BYTES) != VAD_OK) {
            return kTfLiteError;
        }
    }
    return kTfLiteOk;
}

size_t MicroInterpreter::arena_used_bytes() const {
    return USED_BYTES;
}

} // namespace tflite
