// The constants that the XML of an OpenVINO model names. The text is untrusted: no entities, no
// document type, no more than is reasonable. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace quantfleet::pipeline {

// Graphs of real models take some MiB; more is not ours.
inline constexpr uint64_t kMaxIrBytes = uint64_t{64} << 20;

struct IrConstant {
  std::string name;
  std::string type;            // "i4"
  std::vector<int64_t> shape;  // slowest first
  uint64_t offset, size;       // in the .bin
};

// In the file's order. `name` is the file's, `bin_bytes` the size of the .bin beside it. DATA_LOSS
// names layer and attribute: not XML or not version 11, a number that is none, a size that is not
// the shape's, bytes outside of the .bin.
absl::StatusOr<std::vector<IrConstant>> ReadIrConstants(std::string_view xml, std::string_view name,
                                                        uint64_t bin_bytes);

}  // namespace quantfleet::pipeline
