// Stands in for the library's header: what the generated glue uses of it, and no more.
#pragma once

namespace tflite {

struct Model;

const Model *GetModel(const void *data);

} // namespace tflite
