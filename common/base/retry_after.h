// A refusal that says when to ask again. It travels inside the status: through Annotate, and over
// gRPC (net/channel.h). Thread-safe: pure functions.
#pragma once

#include <optional>

#include "common/base/clock.h"
#include "common/base/status.h"

namespace quantfleet {

// The same refusal; the same call may succeed after `after` (at least 1 ms).
[[nodiscard]] absl::Status WithRetryAfter(absl::Status refusal, Duration after);
// nullopt: the refusal does not say.
std::optional<Duration> RetryAfter(const absl::Status& status);

}  // namespace quantfleet
