// Python's operators on values.
#pragma once

#include "text/jinja/machine.h"
#include "text/jinja/value.h"

namespace quantfleet::jinja {

// + - * / // % **. FAILED_PRECONDITION: not for these types; RESOURCE_EXHAUSTED: too large.
absl::StatusOr<Value> Binary(Machine& machine, std::string_view op, const Value& left,
                             const Value& right);
absl::StatusOr<Value> Negative(const Value& of);
// == != < <= > >= in "not in".
absl::StatusOr<bool> Compare(Machine& machine, std::string_view op, const Value& left,
                             const Value& right);
// `left` < `right`, for sorting.
absl::StatusOr<bool> Less(const Value& left, const Value& right);
// & < > " ' as HTML writes them; origin stays.
MarkedText Escaped(const MarkedText& text);

}  // namespace quantfleet::jinja
