// An ONNX model from strangers: the initializers that it keeps beside itself lie in files of its
// own folder.
#include <cstdlib>

#include "pipeline/format/onnx/onnx_stored.h"
#include "tests/support/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantfleet;
  constexpr uint64_t kData = 1 << 16;
  testing::MemoryFileSystem files;
  files.Put("in/model.onnx", {reinterpret_cast<const char*>(data), size});
  files.Put("in/model.onnx.data", std::string(kData, '\0'));
  files.Put("out.data", std::string(kData, '\0'));
  const auto tensors = pipeline::StoredOnnxTensors(files, "in", {"model.onnx"});
  if (!tensors.ok()) return 0;
  for (const pipeline::StoredTensor& tensor : *tensors) {
    if (tensor.file != "model.onnx.data" && tensor.file != "model.onnx") std::abort();
    const uint64_t file_size = tensor.file == "model.onnx" ? size : kData;
    if (tensor.offset > file_size || tensor.bytes > file_size - tensor.offset) std::abort();
  }
  return 0;
}
