// Where the exceptions of SOCI end. Private to daemon/store.
#pragma once

#include <exception>

#include "common/base/status.h"

namespace quantfleet::daemon {

absl::Status StatusOfSqlError(const std::exception& error);

// Runs a function that returns a status; what it throws becomes one.
template <typename Function>
absl::Status CatchSqlErrors(Function&& function) {
  try {
    return function();
  } catch (const std::exception& error) {
    return StatusOfSqlError(error);
  }
}

}  // namespace quantfleet::daemon
