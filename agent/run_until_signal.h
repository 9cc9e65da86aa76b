// Runs commands that last until a signal ends them.
#pragma once

#include <functional>
#include <stop_token>

#include "common/base/status.h"

namespace quantfleet::agent {

// One thread takes SIGTERM and SIGINT with sigwait; `run` runs on another and gets a stop token
// that they trigger. Call it before any thread is created.
absl::Status RunUntilSignal(const std::function<absl::Status(std::stop_token)>& run);

}  // namespace quantfleet::agent
