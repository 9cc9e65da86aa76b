// The JSON of a safetensors header, event by event: {"name": {"dtype": .., "shape": [..],
// "data_offsets": [b, e]}}.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace quantfleet::pipeline {

struct RawTensor {
  std::string name, dtype;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;
};

// Names are unique, every member is there once; nothing is checked against the file.
absl::StatusOr<std::vector<RawTensor>> ParseSafetensorsHeader(std::string_view json);

}  // namespace quantfleet::pipeline
