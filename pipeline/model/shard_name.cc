#include "pipeline/model/shard_name.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

namespace quantfleet::pipeline {
namespace {

constexpr std::string_view kOf = "-of-", kEnding = ".gguf";
constexpr size_t kDigits = 5;

// Takes five digits, with `before` in front of them, off the end of the text.
std::optional<uint32_t> TakeNumber(std::string_view& text, std::string_view before) {
  if (text.size() < before.size() + kDigits) return std::nullopt;
  const std::string_view digits = text.substr(text.size() - kDigits);
  if (!std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; }))
    return std::nullopt;
  text.remove_suffix(kDigits);
  if (!text.ends_with(before)) return std::nullopt;
  text.remove_suffix(before.size());
  uint32_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

}  // namespace

std::string ShardName::File(uint32_t other) const {
  return fmt::format("{}-{:05}-of-{:05}.gguf", model, other, count);
}

std::optional<ShardName> ParseShardName(std::string_view file) {
  if (!file.ends_with(kEnding)) return std::nullopt;
  file.remove_suffix(kEnding.size());
  const auto count = TakeNumber(file, kOf);
  const auto number = count ? TakeNumber(file, "-") : std::nullopt;
  if (!number || *number < 1 || *number > *count) return std::nullopt;
  return ShardName{std::string(file), *number, *count};
}

}  // namespace quantfleet::pipeline
