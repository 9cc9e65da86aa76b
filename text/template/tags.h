// A template cut into its texts and tags, and tags into tokens. White space beside tags is gone as
// Jinja removes it. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace quantfleet::text {

struct TagToken {
  enum class Kind { kName, kText, kNumber, kOperator } kind;
  std::string text;  // of a text: what it stands for
  int64_t number = 0;
};

struct Tag {
  enum class Kind { kText, kOutput, kBlock } kind;
  std::string text;  // of kText
  std::vector<TagToken> tokens;
};

absl::StatusOr<std::vector<Tag>> CutIntoTags(std::string_view text);

}  // namespace quantfleet::text
