// The arguments of a call, by position or by name.
#pragma once

#include <initializer_list>
#include <optional>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"

namespace quantfleet::jinja {

// One for each of `names`, in their order; not given: nullopt. The first `required` must be given.
// FAILED_PRECONDITION: too few, too many, unknown ones, or one twice.
absl::StatusOr<std::vector<std::optional<Value>>> Bind(
    std::string_view function, Arguments arguments, std::initializer_list<std::string_view> names,
    size_t required);

// Of the kind that is wanted, or FAILED_PRECONDITION. Not given: `otherwise`.
absl::StatusOr<int64_t> WholeOr(std::string_view function, const std::optional<Value>& value,
                                int64_t otherwise);
inline bool TruthOr(const std::optional<Value>& value, bool otherwise) {
  return value ? value->IsTrue() : otherwise;
}
// Not given, or None.
inline bool IsNothing(const std::optional<Value>& value) { return !value || value->IsNone(); }

absl::Status WrongType(std::string_view function, std::string_view wanted, const Value& found);

}  // namespace quantfleet::jinja
