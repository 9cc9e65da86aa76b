// How commands that run until they are told to end are run.
#pragma once

#include <functional>
#include <stop_token>

#include "common/base/status.h"

namespace quantfleet::agent {

// SIGTERM and SIGINT are taken by one thread with sigwait; `run` runs on another, and its stop
// token is theirs. To be called before any thread is made.
absl::Status RunUntilSignal(const std::function<absl::Status(std::stop_token)>& run);

}  // namespace quantfleet::agent
