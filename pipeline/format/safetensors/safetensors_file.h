// The header of a safetensors file as values (docs/formats/safetensors.md). The file is untrusted:
// the header is read by a handler that knows only this one shape of JSON, so that nothing else
// costs memory, and every offset is checked. Immutable after Read, so thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/digest.h"
#include "common/base/file.h"
#include "pipeline/tensor/dtype.h"

namespace quantfleet::pipeline {

struct SafetensorsTensor {
  std::string name;
  std::string dtype_name;      // "BF16"
  std::optional<DType> dtype;  // nullopt: a type that the format knows and we do not read
  std::vector<int64_t> shape;
  uint64_t offset = 0;  // absolute, in the file
  uint64_t size = 0;
};

class SafetensorsFile {
 public:
  // `name` is what messages call the file. INVALID_ARGUMENT: a header that contradicts itself or
  // the file; DATA_LOSS: the file is cut; UNIMPLEMENTED: a dtype that nobody knows.
  static absl::StatusOr<SafetensorsFile> Read(const File& file, std::string_view name);

  const std::string& name() const { return name_; }
  const std::vector<SafetensorsTensor>& tensors() const { return tensors_; }  // by offset
  const Digest& header_digest() const { return header_digest_; }

 private:
  std::string name_;
  std::vector<SafetensorsTensor> tensors_;
  Digest header_digest_;
};

}  // namespace quantfleet::pipeline
