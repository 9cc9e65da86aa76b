// The tables of element types: names and numbers as ggml has them, and the groups of other
// runtimes.
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

struct GroupEntry {
  GroupScheme scheme;
  DType type;
  DTypeInfo info;
};

constexpr GroupEntry Group(std::string_view name, int bits, int64_t elements, GroupZero zero) {
  const GroupScheme scheme{bits, elements, zero};
  return {scheme, GroupType(scheme), {name, elements, CodesAt(zero) + elements * bits / 8}};
}

constexpr std::array kGroups = {
    Group("i4_g64", 4, 64, GroupZero::kMiddle),  Group("i4_g128", 4, 128, GroupZero::kMiddle),
    Group("u4_g32", 4, 32, GroupZero::kPoint),   Group("u4_g64", 4, 64, GroupZero::kPoint),
    Group("u4_g128", 4, 128, GroupZero::kPoint), Group("a4_g32", 4, 32, GroupZero::kBias),
    Group("a4_g64", 4, 64, GroupZero::kBias),    Group("a4_g128", 4, 128, GroupZero::kBias),
    Group("i8_g64", 8, 64, GroupZero::kMiddle),  Group("i8_g128", 8, 128, GroupZero::kMiddle),
    Group("u8_g32", 8, 32, GroupZero::kPoint),   Group("u8_g64", 8, 64, GroupZero::kPoint),
    Group("u8_g128", 8, 128, GroupZero::kPoint), Group("a8_g32", 8, 32, GroupZero::kBias),
    Group("a8_g64", 8, 64, GroupZero::kBias),    Group("a8_g128", 8, 128, GroupZero::kBias),
};

}  // namespace

std::optional<GroupScheme> GroupSchemeOf(DType type) {
  for (const GroupEntry& entry : kGroups) {
    if (entry.type == type) return entry.scheme;
  }
  return std::nullopt;
}

const DTypeInfo& Info(DType type) {
  for (const Entry& entry : kEntries) {
    if (entry.type == type) return entry.info;
  }
  for (const GroupEntry& entry : kGroups) {
    if (entry.type == type) return entry.info;
  }
  // Only a cast that went past DTypeFromNumber comes here: a type whose sizes divide nothing by
  // zero.
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
  for (const GroupEntry& entry : kGroups) {
    if (entry.info.name == lower) return entry.type;
    known += fmt::format(", {}", entry.info.name);
  }
  return InvalidArgument("unknown element type '{}'; known are {}", name, known);
}

}  // namespace quantfleet::pipeline
