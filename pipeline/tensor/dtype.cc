// The table of element types: names and numbers as ggml has them.
#include "pipeline/tensor/dtype.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

namespace quantfleet::pipeline {
namespace {

struct Entry {
  DType type;
  DTypeInfo info;
};

constexpr std::array kEntries = {
    Entry{DType::kF32, {"f32", 1, 4}},       Entry{DType::kF16, {"f16", 1, 2}},
    Entry{DType::kQ4_0, {"q4_0", 32, 18}},   Entry{DType::kQ4_1, {"q4_1", 32, 20}},
    Entry{DType::kQ5_0, {"q5_0", 32, 22}},   Entry{DType::kQ5_1, {"q5_1", 32, 24}},
    Entry{DType::kQ8_0, {"q8_0", 32, 34}},   Entry{DType::kQ4_K, {"q4_k", 256, 144}},
    Entry{DType::kQ5_K, {"q5_k", 256, 176}}, Entry{DType::kQ6_K, {"q6_k", 256, 210}},
    Entry{DType::kBF16, {"bf16", 1, 2}},
};

}  // namespace

const DTypeInfo& Info(DType type) {
  for (const Entry& entry : kEntries) {
    if (entry.type == type) return entry.info;
  }
  // Only a cast that went past DTypeFromNumber comes here: a type whose sizes divide nothing by zero.
  static constexpr DTypeInfo kUnknown{"unknown", 1, 1};
  return kUnknown;
}

std::optional<DType> DTypeFromNumber(uint32_t ggml_type) {
  for (const Entry& entry : kEntries) {
    if (static_cast<uint32_t>(entry.type) == ggml_type) return entry.type;
  }
  return std::nullopt;
}

absl::StatusOr<DType> DTypeFromName(std::string_view name) {
  std::string lower(name);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  std::string known;
  for (const Entry& entry : kEntries) {
    if (entry.info.name == lower) return entry.type;
    known += known.empty() ? "" : ", ";
    known += entry.info.name;
  }
  return InvalidArgument("unknown element type '{}'; known are {}", name, known);
}

}  // namespace quantfleet::pipeline
