// Element types as ggml numbers them: how many elements a block holds and how many bytes it takes.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/base/status.h"

namespace quantfleet::pipeline {

enum class DType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBF16 = 30,
};

struct DTypeInfo {
  std::string_view name;  // "q4_0"
  int64_t block_elements;
  int64_t block_bytes;
};

const DTypeInfo& Info(DType type);
std::optional<DType> DTypeFromNumber(uint32_t ggml_type);    // nullopt: not one of ours
absl::StatusOr<DType> DTypeFromName(std::string_view name);  // "q4_0", case ignored

// True when a row of `cols` elements consists of whole blocks.
inline bool Divides(DType type, int64_t cols) { return cols % Info(type).block_elements == 0; }
// Bytes of one row; `cols` must consist of whole blocks.
inline int64_t RowBytes(DType type, int64_t cols) {
  return cols / Info(type).block_elements * Info(type).block_bytes;
}
inline bool IsFloat(DType type) { return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16; }

}  // namespace quantfleet::pipeline
