// How many files, sockets among them, this process may hold open. Thread-safe.
#pragma once

#include <cstdint>

#include "common/base/status.h"

namespace quantfleet {

// Raises the limit to at least `wanted`, as far as the hard limit allows; a limit that is higher
// already stays. Returns the resulting limit, which is below `wanted` where the hard limit is.
absl::StatusOr<uint64_t> RaiseOpenFiles(uint64_t wanted);

}  // namespace quantfleet
