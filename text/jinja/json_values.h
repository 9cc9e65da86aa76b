// Values from JSON, as a request or a file has it. Everything that it says is data.
#pragma once

#include <boost/json/value.hpp>

#include "text/jinja/value.h"

namespace quantfleet::jinja {

// RESOURCE_EXHAUSTED: nested too deeply. Keys keep their order.
absl::StatusOr<Value> FromJson(const boost::json::value& json);

}  // namespace quantfleet::jinja
