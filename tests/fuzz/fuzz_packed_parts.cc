// A checkpoint of parts of quantized weights: one line of config.json, then a safetensors file.
// Whatever is accepted is read to its end, within the file, in the type that it is shown in and as
// floats.
#include <algorithm>
#include <boost/json.hpp>
#include <cstdlib>
#include <string>

#include "common/base/json.h"
#include "pipeline/format/safetensors/packed_parts.h"
#include "tests/support/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantfleet;
  using namespace quantfleet::pipeline;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t line = std::min(input.find('\n'), input.size());
  const auto config = ParseJsonObject(input.substr(0, line), "config.json");
  if (!config.ok()) return 0;
  const auto quantization = ParseHfQuantization(*config, "config.json");
  if (!quantization.ok()) return 0;
  const testing::MemoryFile file(std::string(input.substr(std::min(line + 1, size))));
  const auto header = SafetensorsFile::Read(file, "input");
  if (!header.ok()) return 0;
  std::vector<ShardTensor> tensors;
  for (const SafetensorsTensor& tensor : header->tensors())
    tensors.push_back({tensor, 0, &file, "input"});
  const auto weights = JoinParts(*quantization, tensors);
  if (!weights.ok()) return 0;
  for (const CheckpointWeight& weight : *weights) {
    if (!weight.packed) continue;
    const PackedWeight& packed = *weight.packed;
    if (packed.rows < 1 || packed.cols < 1) std::abort();
    // Many times the file's size at most: a bit of it stands for a float.
    if (packed.rows > static_cast<int64_t>(size) * 32 / packed.cols) std::abort();
    for (const DType type : {DType::kF32, packed.Type()}) {
      const auto row_bytes = static_cast<uint64_t>(RowBytes(type, packed.cols));
      Bytes row(row_bytes);
      for (const int64_t at : {int64_t{0}, packed.rows - 1})
        if (!packed.Read(type, static_cast<uint64_t>(at) * row_bytes, row).ok()) std::abort();
    }
  }
  return 0;
}
