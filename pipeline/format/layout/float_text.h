// Floats in JSON as they were written, not as the doubles that lie nearest. Pure.
#pragma once

#include <cstdlib>

#include "common/base/status.h"

namespace quantfleet::pipeline {

// The double that prints like the float: 1e-05f gives 1e-05.
inline double Plain(float value) { return std::strtod(fmt::format("{}", value).c_str(), nullptr); }

}  // namespace quantfleet::pipeline
