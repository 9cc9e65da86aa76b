#include "pipeline/tensor/dtype.h"

#include <algorithm>
#include <cctype>
#include <string>

namespace quantfleet::pipeline {

std::optional<GroupScheme> GroupSchemeOf(DType type) {
  const DTypeInfo& info = Info(type);
  if (info.family != SchemeFamily::kGroup) return std::nullopt;
  return info.codes->scheme;
}

std::optional<DType> DTypeFromNumber(uint32_t ggml_type) {
  for (const DTypeInfo& info : kDTypes)
    if (info.ggml && info.ggml->type == ggml_type) return info.type;
  return std::nullopt;
}

absl::StatusOr<DType> DTypeFromName(std::string_view name) {
  std::string lower(name);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  std::string known;
  bool read_only = false;
  for (const DTypeInfo& info : kDTypes) {
    if (!info.made) {
      read_only |= info.name == lower;
      continue;
    }
    if (info.name == lower) return info.type;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", info.name);
  }
  if (read_only)
    return InvalidArgument("element type '{}' can be read but not made; those that can are {}",
                           name, known);
  return InvalidArgument("unknown element type '{}'; the known types are {}", name, known);
}

}  // namespace quantfleet::pipeline
