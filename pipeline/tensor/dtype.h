// Element types: how many elements a block holds and how many bytes it takes. Those of ggml have
// its numbers; those that other runtimes quantize by have numbers behind them, which no file holds.
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

// A group of elements with one F16 scale, in which x is scale * (code - middle), scale * (code -
// point) or scale * code
// + bias; codes are unsigned and their middle is half their range (docs/formats/blocks.md).
enum class GroupZero : uint32_t { kMiddle, kPoint, kBias };
struct GroupScheme {
  int bits;          // of a code: 4 or 8
  int64_t elements;  // 32, 64 or 128
  GroupZero zero;
};

// Of such a scheme. Groups of 32 around the middle are ggml's own: q4_0 and q8_0.
constexpr DType GroupType(const GroupScheme& scheme) {
  const bool wide = scheme.bits == 8;
  if (scheme.elements == 32 && scheme.zero == GroupZero::kMiddle)
    return wide ? DType::kQ8_0 : DType::kQ4_0;
  constexpr uint32_t kFirst = 0x10000;
  const uint32_t size = scheme.elements == 32 ? 0 : scheme.elements == 64 ? 1 : 2;
  return static_cast<DType>(kFirst + 16 * (wide ? 1 : 0) + 4 * size +
                            static_cast<uint32_t>(scheme.zero));
}
// nullopt: one of ggml's types.
std::optional<GroupScheme> GroupSchemeOf(DType type);

// Where a group's codes begin, in bytes: behind its scale and what tells its zero, a byte for a
// point and an F16 for a bias.
constexpr int64_t CodesAt(GroupZero zero) {
  return zero == GroupZero::kMiddle ? 2 : zero == GroupZero::kPoint ? 3 : 4;
}

struct DTypeInfo {
  std::string_view name;  // "q4_0"
  int64_t block_elements;
  int64_t block_bytes;
};

const DTypeInfo& Info(DType type);
std::optional<DType> DTypeFromNumber(
    uint32_t ggml_type);  // nullopt: not one of ggml's that we know
absl::StatusOr<DType> DTypeFromName(std::string_view name);  // "q4_0", "u4_g128", case ignored

// True when a row of `cols` elements consists of whole blocks.
inline bool Divides(DType type, int64_t cols) { return cols % Info(type).block_elements == 0; }
// Bytes of one row; `cols` must consist of whole blocks.
inline int64_t RowBytes(DType type, int64_t cols) {
  return cols / Info(type).block_elements * Info(type).block_bytes;
}
inline bool IsFloat(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16;
}

}  // namespace quantfleet::pipeline
