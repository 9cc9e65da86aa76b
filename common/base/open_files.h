// How many files, sockets among them, this process may hold open. Thread-safe.
#pragma once

#include <cstdint>

#include "common/base/status.h"

namespace quantfleet {

// At least `wanted` from now on, as far as the hard limit goes; a limit that is higher already
// stays. Returns the limit as it is then, below `wanted` where the hard limit is.
absl::StatusOr<uint64_t> RaiseOpenFiles(uint64_t wanted);

}  // namespace quantfleet
