// Python's two ways to fill texts in: "%s" % x, and "{}".format(x).
#pragma once

#include "text/jinja/machine.h"
#include "text/jinja/value.h"

namespace quantfleet::jinja {

// FAILED_PRECONDITION: values that the format does not fit. UNIMPLEMENTED: a format not known here.
absl::StatusOr<Value> FormatPercent(Machine& machine, const Text& format, const Value& values);
absl::StatusOr<Value> FormatBraces(Machine& machine, const Text& format, const Arguments& values);

}  // namespace quantfleet::jinja
