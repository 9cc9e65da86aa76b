// Element types: how many elements a block holds and how many bytes it takes, and the ways from
// names, numbers and schemes to a type. All of them read the table in traits.h.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "common/base/status.h"
#include "pipeline/tensor/traits.h"

namespace quantfleet::pipeline {

// nullptr: a number that is no type.
constexpr const DTypeInfo* FindInfo(DType type) {
  for (const DTypeInfo& info : kDTypes)
    if (info.type == type) return &info;
  return nullptr;
}

// Every enumerator has one; a number from outside goes through DTypeFromNumber first.
constexpr const DTypeInfo& Info(DType type) {
  if (const DTypeInfo* info = FindInfo(type)) return *info;
  std::abort();
}

// The type of such a scheme. Groups of 32 around the middle are ggml's own: q4_0 and q8_0. nullopt:
// other sizes than 16, 32, 64, 128 and 256, or with a bias than 32, 64 and 128.
constexpr std::optional<DType> FindGroupType(const GroupScheme& scheme) {
  for (const DTypeInfo& info : kDTypes) {
    const bool meant = info.family == SchemeFamily::kGroup || scheme.zero == GroupZero::kMiddle;
    if (meant && info.codes && info.codes->scheme == scheme) return info.type;
  }
  return std::nullopt;
}
// The same of a scheme that has one.
constexpr DType GroupType(const GroupScheme& scheme) {
  if (const std::optional<DType> type = FindGroupType(scheme)) return *type;
  std::abort();
}
// nullopt: one of ggml's types.
std::optional<GroupScheme> GroupSchemeOf(DType type);

std::optional<DType> DTypeFromNumber(
    uint32_t ggml_type);  // nullopt: not one of ggml's that we know
// "q4_0", "u4_g128", case ignored: a type that can be made. INVALID_ARGUMENT lists those.
absl::StatusOr<DType> DTypeFromName(std::string_view name);

// Elements and bytes of one block in rows of `cols`.
inline int64_t BlockElements(DType type, int64_t cols) {
  const DTypeInfo& info = Info(type);
  return info.family == SchemeFamily::kRow ? cols : info.block_elements;
}
inline int64_t BlockBytes(DType type, int64_t cols) {
  const DTypeInfo& info = Info(type);
  if (info.family != SchemeFamily::kRow) return info.block_bytes;
  const GroupScheme& scheme = info.codes->scheme;
  return CodesAt(scheme.zero) + cols * scheme.bits / 8;
}

// True when a row of `cols` elements consists of whole blocks; of kRow, when its codes fill bytes.
inline bool Divides(DType type, int64_t cols) {
  const DTypeInfo& info = Info(type);
  if (info.family == SchemeFamily::kRow) return cols * info.codes->scheme.bits % 8 == 0;
  return cols % info.block_elements == 0;
}
// Bytes of one row; `cols` must consist of whole blocks.
inline int64_t RowBytes(DType type, int64_t cols) {
  return cols / BlockElements(type, cols) * BlockBytes(type, cols);
}
constexpr bool IsFloat(DType type) { return Info(type).family == SchemeFamily::kFloat; }

}  // namespace quantfleet::pipeline
