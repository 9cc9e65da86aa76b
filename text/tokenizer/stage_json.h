// What building a stage of a tokenizer from tokenizer.json needs everywhere: a stage is an object
// with a type, and a fault names the stage it is in ("tokenizer.json: normalizer: Replace"). Pure.
#pragma once

#include <boost/json.hpp>
#include <functional>
#include <optional>
#include <string>

#include "common/base/json.h"
#include "common/base/status.h"
#include "text/tokenizer/regular_expression.h"

namespace quantfleet::text {

// Calls `add` for a stage, and for each stage in a Sequence, whose members are listed as `list`
// ("normalizers"). A null or absent stage is none. Bounded in number and depth.
absl::Status ForEachStage(
    const boost::json::value* stage, const std::string& where, std::string_view list,
    const std::function<absl::Status(std::string_view type, JsonMembers& members)>& add);

// A "pattern" member: {"String": "x"}, {"Regex": "x"}, or a plain string.
struct Pattern {
  std::string literal;  // where there is no expression
  std::optional<RegularExpression> expression;

  // Calls `found` for each match, in order.
  absl::Status ForEachMatch(std::string_view text, MatchSteps& steps,
                            const std::function<void(size_t begin, size_t end)>& found) const;
};
absl::StatusOr<Pattern> ReadPattern(JsonMembers& members);

// A member that is one character.
absl::StatusOr<std::string> ReadCharacter(JsonMembers& members, std::string_view key);

absl::Status UnknownStage(const JsonMembers& members, std::string_view type);

}  // namespace quantfleet::text
