// a.b, a[b] and a[b:c:d], as Jinja's sandbox answers them: what is not there is undefined, and so
// is what could change a value or reach behind it.
#pragma once

#include <optional>

#include "text/jinja/machine.h"
#include "text/jinja/value.h"

namespace quantfleet::jinja {

// FAILED_PRECONDITION: of what is undefined.
absl::StatusOr<Value> Attribute(Machine& machine, const Value& of, std::string_view name);
absl::StatusOr<Value> Item(Machine& machine, const Value& of, const Value& key);
// Parts that are None are as if left out.
absl::StatusOr<Value> SliceOf(Machine& machine, const Value& of, const Value& begin,
                              const Value& end, const Value& step);
// "a.0.b" of a value, as the filters with an attribute look it up.
absl::StatusOr<Value> Path(Machine& machine, const Value& of, const Value& path);

}  // namespace quantfleet::jinja
