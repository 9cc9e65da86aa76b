// Values as Python's json.dumps writes them. Origin is kept.
#pragma once

#include <optional>
#include <string>

#include "text/jinja/value.h"

namespace quantfleet::jinja {

struct JsonStyle {
  bool ascii = false;                   // other characters are escaped
  std::optional<std::string> indent{};  // of a level; not given: all on one line
  MarkedText between{", "}, colon{": "};
  bool sorted = false;
};

// FAILED_PRECONDITION: a value that JSON cannot say.
absl::StatusOr<MarkedText> ToJson(const Value& value, const JsonStyle& style);

}  // namespace quantfleet::jinja
