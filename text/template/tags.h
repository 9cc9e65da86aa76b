// A template cut into its texts and tags, and tags into tokens. White space beside tags is removed
// as Jinja does it. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace quantfleet::text {

struct TagToken {
  enum class Kind { kName, kText, kNumber, kOperator } kind;
  std::string text;  // of a text: its value
  int64_t number = 0;
};

struct Tag {
  enum class Kind { kText, kOutput, kBlock } kind;
  std::string text;  // of kText
  std::vector<TagToken> tokens;
};

absl::StatusOr<std::vector<Tag>> CutIntoTags(std::string_view text);

}  // namespace quantfleet::text
