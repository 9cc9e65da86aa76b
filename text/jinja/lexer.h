// A template cut into its texts and the tokens of its tags. White space beside tags is removed as
// Jinja does it with trim_blocks and lstrip_blocks. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace quantfleet::jinja {

// In the template, both from 1; columns count bytes.
struct Place {
  int line = 1, column = 1;
};
// "line 3, column 7".
std::string Show(const Place& place);

struct Token {
  enum class Kind {
    kData,         // text, outside tags
    kOutputBegin,  // {{
    kOutputEnd,
    kBlockBegin,  // {%
    kBlockEnd,
    kName,      // text
    kText,      // text: its value
    kInteger,   // integer
    kFloat,     // real
    kOperator,  // text
    kEnd        // of the template
  };
  Kind kind = Kind::kEnd;
  std::string text;
  int64_t integer = 0;
  double real = 0;
  Place place;

  bool Is(Kind of, std::string_view what) const { return kind == of && text == what; }
  bool IsOperator(std::string_view what) const { return Is(Kind::kOperator, what); }
  bool IsName(std::string_view what) const { return Is(Kind::kName, what); }
};

// The last token is kEnd. INVALID_ARGUMENT names line and column.
absl::StatusOr<std::vector<Token>> Lex(std::string_view source);

}  // namespace quantfleet::jinja
