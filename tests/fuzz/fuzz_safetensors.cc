// safetensors headers. Whatever is accepted covers the file's data exactly once.
#include <cstdlib>

#include "pipeline/format/safetensors/safetensors_file.h"
#include "tests/support/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const quantfleet::testing::MemoryFile bytes(
      std::string(reinterpret_cast<const char*>(data), size));
  const auto file = quantfleet::pipeline::SafetensorsFile::Read(bytes, "input");
  if (!file.ok()) return 0;
  uint64_t at = 8 + quantfleet::Load<uint64_t>(reinterpret_cast<const std::byte*>(data));
  for (const quantfleet::pipeline::SafetensorsTensor& tensor : file->tensors()) {
    if (tensor.offset != at) std::abort();
    at += tensor.size;
  }
  if (at != size) std::abort();
  return 0;
}
